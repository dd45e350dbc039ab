#include "Layout.h"

/// The descriptors and extents of one convolution.
typedef struct {
    descriptor input, weights, bias, output;
    dnnl_dims_t strides, dilations, padding;
} geometry;

static dnnl_status_t geometry_create(
    geometry *result, const bn_dnnl_convolution *shape, const bn_dnnl_layout *layout, int bias) {
    const int64_t g = shape->groups, o = shape->output_channels, i = shape->input_channels;
    const int64_t input[] = {shape->images, i, shape->input[0], shape->input[1]};
    const int64_t output[] = {shape->images, o, shape->output[0], shape->output[1]};
    const int64_t plain[] = {o, i, shape->kernel[0], shape->kernel[1]};
    const int64_t grouped[] = {g, o / g, i / g, shape->kernel[0], shape->kernel[1]};
    for (int d = 0; d < 2; d++) {
        result->strides[d] = shape->stride[d];
        result->dilations[d] = shape->dilation[d] - 1;
        result->padding[d] = shape->padding[d];
    }
    dnnl_status_t status = descriptor_create(&result->input, 4, input, dnnl_nhwc);
    if (status == dnnl_success)
        status = descriptor_create(&result->output, 4, output, dnnl_nhwc);
    if (status == dnnl_success && bias)
        status = descriptor_create(&result->bias, 1, &o, dnnl_a);
    if (status != dnnl_success) return status;
    if (layout != NULL) return layout_descriptor(&result->weights, layout);
    return g == 1 ? descriptor_create(&result->weights, 4, plain, dnnl_format_tag_any)
                  : descriptor_create(&result->weights, 5, grouped, dnnl_format_tag_any);
}

static void geometry_destroy(geometry *it) {
    descriptor_destroy(it->input);
    descriptor_destroy(it->weights);
    descriptor_destroy(it->bias);
    descriptor_destroy(it->output);
}

static dnnl_status_t describe(
    dnnl_primitive_desc_t *result, int pass, const geometry *it, dnnl_engine_t engine,
    const_dnnl_primitive_attr_t attributes, const_dnnl_primitive_desc_t forward) {
    const dnnl_alg_kind_t direct = dnnl_convolution_direct;
#if DNNL_VERSION_MAJOR >= 3
    switch (pass) {
    case BN_DNNL_FORWARD:
        return dnnl_convolution_forward_primitive_desc_create(
            result, engine, dnnl_forward_training, direct, it->input, it->weights, it->bias,
            it->output, it->strides, it->dilations, it->padding, it->padding, attributes);
    case BN_DNNL_BACKWARD_DATA:
        return dnnl_convolution_backward_data_primitive_desc_create(
            result, engine, direct, it->input, it->weights, it->output, it->strides,
            it->dilations, it->padding, it->padding, forward, attributes);
    default:
        return dnnl_convolution_backward_weights_primitive_desc_create(
            result, engine, direct, it->input, it->weights, it->bias, it->output, it->strides,
            it->dilations, it->padding, it->padding, forward, attributes);
    }
#else
    dnnl_convolution_desc_t operation;
    dnnl_status_t status;
    switch (pass) {
    case BN_DNNL_FORWARD:
        status = dnnl_dilated_convolution_forward_desc_init(
            &operation, dnnl_forward_training, direct, it->input, it->weights, it->bias,
            it->output, it->strides, it->dilations, it->padding, it->padding);
        break;
    case BN_DNNL_BACKWARD_DATA:
        status = dnnl_dilated_convolution_backward_data_desc_init(
            &operation, direct, it->input, it->weights, it->output, it->strides, it->dilations,
            it->padding, it->padding);
        break;
    default:
        status = dnnl_dilated_convolution_backward_weights_desc_init(
            &operation, direct, it->input, it->weights, it->bias, it->output, it->strides,
            it->dilations, it->padding, it->padding);
    }
    if (status != dnnl_success) return status;
    return dnnl_primitive_desc_create(result, &operation, attributes, engine, forward);
#endif
}

static dnnl_status_t add_memories(bn_dnnl_plan *plan, int pass, const geometry *it) {
    const_dnnl_primitive_desc_t from = plan->description;
    const_descriptor weights = dnnl_primitive_desc_query_md(
        from, pass == BN_DNNL_BACKWARD_WEIGHTS ? dnnl_query_diff_weights_md : dnnl_query_weights_md,
        0);
    int a, b, c, bias = DNNL_ARG_BIAS;
    const_descriptor in = it->input, middle = weights, out = it->output;
    switch (pass) {
    case BN_DNNL_FORWARD:
        a = DNNL_ARG_SRC, b = DNNL_ARG_WEIGHTS, c = DNNL_ARG_DST;
        break;
    case BN_DNNL_BACKWARD_DATA:
        a = DNNL_ARG_DIFF_DST, b = DNNL_ARG_WEIGHTS, c = DNNL_ARG_DIFF_SRC;
        in = it->output, out = it->input;
        break;
    default:
        a = DNNL_ARG_SRC, b = DNNL_ARG_DIFF_DST, c = DNNL_ARG_DIFF_WEIGHTS;
        bias = DNNL_ARG_DIFF_BIAS;
        middle = it->output, out = weights;
    }
    dnnl_status_t status = plan_add(plan, PLAN_A, a, in);
    if (status == dnnl_success) status = plan_add(plan, PLAN_B, b, middle);
    if (status == dnnl_success) status = plan_add(plan, PLAN_C, c, out);
    if (status == dnnl_success && it->bias != NULL)
        status = plan_add(plan, PLAN_BIAS, bias, it->bias);
    return status;
}

int bn_dnnl_convolution_create(
    bn_dnnl_plan **result, const bn_dnnl_convolution *shape, int pass,
    const bn_dnnl_layout *layout, int bias, bn_dnnl_layout *chosen) {
    *result = NULL;
    bn_dnnl_plan *plan = NULL;
    dnnl_primitive_attr_t attributes = NULL;
    dnnl_primitive_desc_t forward = NULL;
    geometry it = {0}, any = {0};
    dnnl_status_t status = plan_open(&plan, &attributes);
    if (status == dnnl_success) status = geometry_create(&it, shape, layout, bias);
    if (status == dnnl_success && pass != BN_DNNL_FORWARD) {
        // Backward is described by the forward that it belongs to, whatever its weights' layout.
        status = geometry_create(&any, shape, NULL, 0);
        if (status == dnnl_success)
            status = describe(&forward, BN_DNNL_FORWARD, &any, plan->engine, attributes, NULL);
    }
    if (status == dnnl_success)
        status = describe(&plan->description, pass, &it, plan->engine, attributes, forward);
    if (status == dnnl_success) status = add_memories(plan, pass, &it);
    if (status == dnnl_success) status = plan_finish(plan);
    if (status == dnnl_success && chosen != NULL)
        status = layout_read(
            chosen, dnnl_primitive_desc_query_md(
                        plan->description,
                        pass == BN_DNNL_BACKWARD_WEIGHTS ? dnnl_query_diff_weights_md
                                                         : dnnl_query_weights_md,
                        0));

    geometry_destroy(&it);
    geometry_destroy(&any);
    if (forward != NULL) dnnl_primitive_desc_destroy(forward);
    if (attributes != NULL) dnnl_primitive_attr_destroy(attributes);
    if (status == dnnl_success) {
        *result = plan;
    } else {
        bn_dnnl_destroy(plan);
    }
    return status;
}

int bn_dnnl_reorder_create(
    bn_dnnl_plan **result, const bn_dnnl_layout *from, const bn_dnnl_layout *to) {
    *result = NULL;
    bn_dnnl_plan *plan = NULL;
    dnnl_primitive_attr_t attributes = NULL;
    descriptor a = NULL, c = NULL;
    dnnl_status_t status = plan_open(&plan, &attributes);
    if (status == dnnl_success) status = layout_descriptor(&a, from);
    if (status == dnnl_success) status = layout_descriptor(&c, to);
    if (status == dnnl_success) 
        status = dnnl_reorder_primitive_desc_create(
            &plan->description, a, plan->engine, c, plan->engine, attributes);
    if (status == dnnl_success) status = plan_add(plan, PLAN_A, DNNL_ARG_FROM, a);
    if (status == dnnl_success) status = plan_add(plan, PLAN_C, DNNL_ARG_TO, c);
    if (status == dnnl_success) status = plan_finish(plan);
    descriptor_destroy(a);
    descriptor_destroy(c);
    if (attributes != NULL) dnnl_primitive_attr_destroy(attributes);
    if (status == dnnl_success) {
        *result = plan;
    } else {
        bn_dnnl_destroy(plan);
    }
    return status;
}
