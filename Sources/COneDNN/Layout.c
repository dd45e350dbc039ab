#include "Layout.h"

#include <string.h>

#if DNNL_VERSION_MAJOR >= 3
dnnl_status_t layout_read(bn_dnnl_layout *result, const_descriptor descriptor) {
    memset(result, 0, sizeof(*result));
    dnnl_format_kind_t kind = dnnl_format_kind_undef;
    dnnl_status_t status =
        dnnl_memory_desc_query(descriptor, dnnl_query_format_kind, &kind);
    if (status != dnnl_success) return status;
    if (kind != dnnl_blocked) return dnnl_unimplemented;
    const dnnl_dims_t *dims, *padded, *strides, *sizes, *dimensions;
    int count = 0, blocks = 0;
    const struct {
        dnnl_query_t what;
        void *where;
    } queries[] = {
        {dnnl_query_ndims_s32, &count},         {dnnl_query_dims, &dims},
        {dnnl_query_padded_dims, &padded},      {dnnl_query_strides, &strides},
        {dnnl_query_inner_nblks_s32, &blocks},  {dnnl_query_inner_blks, &sizes},
        {dnnl_query_inner_idxs, &dimensions},
    };
    for (size_t i = 0; i < sizeof(queries) / sizeof(queries[0]); i++) {
        status = dnnl_memory_desc_query(descriptor, queries[i].what, queries[i].where);
        if (status != dnnl_success) return status;
    }
    if (count > BN_DNNL_MAX_DIMENSIONS || blocks > BN_DNNL_MAX_BLOCKS) return dnnl_unimplemented;
    result->dimensions = count;
    result->blocks = blocks;
    for (int i = 0; i < count; i++) {
        result->dims[i] = (*dims)[i];
        result->padded[i] = (*padded)[i];
        result->strides[i] = (*strides)[i];
    }
    for (int i = 0; i < blocks; i++) {
        result->block_dimensions[i] = (*dimensions)[i];
        result->block_sizes[i] = (*sizes)[i];
    }
    result->count = (int64_t)(dnnl_memory_desc_get_size(descriptor) / sizeof(float));
    return dnnl_success;
}
#else
dnnl_status_t layout_read(bn_dnnl_layout *result, const_descriptor descriptor) {
    memset(result, 0, sizeof(*result));
    const dnnl_blocking_desc_t *blocking = &descriptor->format_desc.blocking;
    // `extra` marks quantised layouts, with more than the values in memory.
    if (descriptor->format_kind != dnnl_blocked || descriptor->extra.flags != 0
        || descriptor->ndims > BN_DNNL_MAX_DIMENSIONS
        || blocking->inner_nblks > BN_DNNL_MAX_BLOCKS)
        return dnnl_unimplemented;
    result->dimensions = descriptor->ndims;
    result->blocks = blocking->inner_nblks;
    for (int i = 0; i < descriptor->ndims; i++) {
        result->dims[i] = descriptor->dims[i];
        result->padded[i] = descriptor->padded_dims[i];
        result->strides[i] = blocking->strides[i];
    }
    for (int i = 0; i < blocking->inner_nblks; i++) {
        result->block_dimensions[i] = blocking->inner_idxs[i];
        result->block_sizes[i] = blocking->inner_blks[i];
    }
    result->count = (int64_t)(dnnl_memory_desc_get_size(descriptor) / sizeof(float));
    return dnnl_success;
}
#endif

// With `strictly`, also in the strides of dimensions of one element, which lead nowhere: some of
// oneDNN's implementations compare them nevertheless.
static int same(const bn_dnnl_layout *a, const bn_dnnl_layout *b, int strictly) {
    if (a->dimensions != b->dimensions || a->blocks != b->blocks || a->count != b->count) return 0;
    for (int i = 0; i < a->dimensions; i++) {
        if (a->dims[i] != b->dims[i] || a->padded[i] != b->padded[i]) return 0;
        if ((strictly || a->padded[i] > 1) && a->strides[i] != b->strides[i]) return 0;
    }
    for (int i = 0; i < a->blocks; i++)
        if (a->block_dimensions[i] != b->block_dimensions[i]
            || a->block_sizes[i] != b->block_sizes[i])
            return 0;
    return 1;
}

// Version 3 makes descriptors of blocked layouts from tags alone, so the tag is looked for; all
// tags take less than a millisecond, and only plans in the making ask.
dnnl_status_t layout_descriptor(descriptor *result, const bn_dnnl_layout *layout) {
    *result = NULL;
    for (int strictly = 1; strictly >= 0; strictly--) {
        for (int tag = dnnl_format_tag_any + 1; tag < dnnl_format_tag_last; tag++) {
            descriptor candidate = NULL;
            if (descriptor_create(
                    &candidate, layout->dimensions, layout->dims, (dnnl_format_tag_t)tag)
                != dnnl_success)
                continue;
            bn_dnnl_layout found;
            if (layout_read(&found, candidate) == dnnl_success
                && same(&found, layout, strictly)) {
                *result = candidate;
                return dnnl_success;
            }
            descriptor_destroy(candidate);
        }
    }
    return dnnl_unimplemented;
}
