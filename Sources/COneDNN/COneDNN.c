#ifndef _GNU_SOURCE
#define _GNU_SOURCE  // RTLD_DEFAULT
#endif
#include "include/COneDNN.h"

#include <dlfcn.h>
#include <stdlib.h>

#include <oneapi/dnnl/dnnl.h>
#include <oneapi/dnnl/dnnl_debug.h>

// The differences between the two APIs, in one place: version 2 has memory descriptors by value and
// creates a primitive descriptor from an operation descriptor; version 3 has handles and does it in
// one step.
#if DNNL_VERSION_MAJOR >= 3
typedef const_dnnl_memory_desc_t const_descriptor;
typedef dnnl_memory_desc_t descriptor;
#else
typedef const dnnl_memory_desc_t *const_descriptor;
typedef dnnl_memory_desc_t *descriptor;
#endif

static dnnl_status_t descriptor_create(
    descriptor *result, int64_t rows, int64_t columns, int transposed) {
    dnnl_dims_t dims = {rows, columns};
    dnnl_format_tag_t tag = transposed ? dnnl_ba : dnnl_ab;
#if DNNL_VERSION_MAJOR >= 3
    return dnnl_memory_desc_create_with_tag(result, 2, dims, dnnl_f32, tag);
#else
    *result = malloc(sizeof(dnnl_memory_desc_t));
    if (*result == NULL) return dnnl_out_of_memory;
    return dnnl_memory_desc_init_by_tag(*result, 2, dims, dnnl_f32, tag);
#endif
}

static void descriptor_destroy(descriptor it) {
#if DNNL_VERSION_MAJOR >= 3
    if (it != NULL) dnnl_memory_desc_destroy(it);
#else
    free(it);
#endif
}

static dnnl_status_t matmul_create(
    dnnl_primitive_desc_t *result, dnnl_engine_t engine, const_descriptor a, const_descriptor b,
    const_descriptor bias, const_descriptor c, const_dnnl_primitive_attr_t attributes) {
#if DNNL_VERSION_MAJOR >= 3
    return dnnl_matmul_primitive_desc_create(result, engine, a, b, bias, c, attributes);
#else
    dnnl_matmul_desc_t operation;
    dnnl_status_t status = dnnl_matmul_desc_init(&operation, a, b, bias, c);
    if (status != dnnl_success) return status;
    return dnnl_primitive_desc_create(result, &operation, attributes, engine, NULL);
#endif
}

int bn_dnnl_version(void) {
    const dnnl_version_t *version = dnnl_version();
    return version->major * 10000 + version->minor * 100 + version->patch;
}

const char *bn_dnnl_status_name(int status) { return dnnl_status2str((dnnl_status_t)status); }

// Looked up at run time, because which OpenMP runtime oneDNN was built with (libgomp, libiomp5,
// none) is the library's affair and must not become ours at link time.
void bn_dnnl_use_one_thread(void) {
    void (*set)(int) = (void (*)(int))dlsym(RTLD_DEFAULT, "omp_set_num_threads");
    if (set != NULL) set(1);
}

int bn_dnnl_max_threads(void) {
    int (*get)(void) = (int (*)(void))dlsym(RTLD_DEFAULT, "omp_get_max_threads");
    return get != NULL ? get() : 1;
}

enum { A, B, C, BIAS, SCRATCH, ARGUMENTS };

static const int argument_kinds[ARGUMENTS] = {
    DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST, DNNL_ARG_BIAS, DNNL_ARG_SCRATCHPAD};

struct bn_dnnl_product {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    dnnl_primitive_desc_t description;
    dnnl_primitive_t primitive;
    dnnl_memory_t memories[ARGUMENTS];  // made once; each call only moves their data handles
    void *scratch;
    const char *implementation;
};

static dnnl_status_t add_memory(bn_dnnl_product *plan, int argument, const_descriptor descriptor) {
    return dnnl_memory_create(
        &plan->memories[argument], descriptor, plan->engine, DNNL_MEMORY_NONE);
}

// Scratch belongs to the plan, so that execution does not allocate and threads share nothing.
static dnnl_status_t add_scratch(bn_dnnl_product *plan) {
    const_descriptor scratch =
        dnnl_primitive_desc_query_md(plan->description, dnnl_query_scratchpad_md, 0);
    size_t bytes = scratch == NULL ? 0 : dnnl_memory_desc_get_size(scratch);
    if (bytes == 0) return dnnl_success;
    if (posix_memalign(&plan->scratch, 64, bytes) != 0) return dnnl_out_of_memory;
    dnnl_status_t status = add_memory(plan, SCRATCH, scratch);
    if (status != dnnl_success) return status;
    return dnnl_memory_set_data_handle(plan->memories[SCRATCH], plan->scratch);
}

static dnnl_status_t build(
    bn_dnnl_product *plan, const_descriptor a, const_descriptor b, const_descriptor bias,
    const_descriptor c, dnnl_primitive_attr_t attributes) {
    dnnl_status_t status = dnnl_engine_create(&plan->engine, dnnl_cpu, 0);
    if (status == dnnl_success)
        status = dnnl_stream_create(&plan->stream, plan->engine, dnnl_stream_default_flags);
    if (status == dnnl_success)
        status = dnnl_primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user);
    if (status == dnnl_success)
        status = matmul_create(&plan->description, plan->engine, a, b, bias, c, attributes);
    if (status == dnnl_success)
        status = dnnl_primitive_desc_query(
            plan->description, dnnl_query_impl_info_str, 0, (void *)&plan->implementation);
    if (status == dnnl_success)
        status = dnnl_primitive_create(&plan->primitive, plan->description);
    if (status == dnnl_success) status = add_memory(plan, A, a);
    if (status == dnnl_success) status = add_memory(plan, B, b);
    if (status == dnnl_success) status = add_memory(plan, C, c);
    if (status == dnnl_success && bias != NULL) status = add_memory(plan, BIAS, bias);
    if (status == dnnl_success) status = add_scratch(plan);
    return status;
}

int bn_dnnl_product_create(
    bn_dnnl_product **result, int64_t m, int64_t k, int64_t n, int transposed, int bias) {
    *result = NULL;
    bn_dnnl_product *plan = calloc(1, sizeof(bn_dnnl_product));
    if (plan == NULL) return dnnl_out_of_memory;

    dnnl_primitive_attr_t attributes = NULL;
    descriptor a = NULL, b = NULL, c = NULL, bias_row = NULL;
    dnnl_status_t status = dnnl_primitive_attr_create(&attributes);
    if (status == dnnl_success) status = descriptor_create(&a, m, k, 0);
    if (status == dnnl_success) status = descriptor_create(&b, k, n, transposed);
    if (status == dnnl_success) status = descriptor_create(&c, m, n, 0);
    if (status == dnnl_success && bias) status = descriptor_create(&bias_row, 1, n, 0);
    if (status == dnnl_success) status = build(plan, a, b, bias_row, c, attributes);

    descriptor_destroy(a);
    descriptor_destroy(b);
    descriptor_destroy(c);
    descriptor_destroy(bias_row);
    if (attributes != NULL) dnnl_primitive_attr_destroy(attributes);
    if (status == dnnl_success) {
        *result = plan;
    } else {
        bn_dnnl_product_destroy(plan);
    }
    return status;
}

int bn_dnnl_product_execute(
    bn_dnnl_product *plan, const float *a, const float *b, const float *bias, float *c) {
    void *handles[SCRATCH] = {(void *)a, (void *)b, c, (void *)bias};
    dnnl_exec_arg_t arguments[ARGUMENTS];
    int count = 0;
    for (int kind = 0; kind < ARGUMENTS; kind++) {
        if (plan->memories[kind] == NULL) continue;
        if (kind < SCRATCH) {
            dnnl_status_t status =
                dnnl_memory_set_data_handle(plan->memories[kind], handles[kind]);
            if (status != dnnl_success) return status;
        }
        arguments[count].arg = argument_kinds[kind];
        arguments[count].memory = plan->memories[kind];
        count++;
    }
    dnnl_status_t status = dnnl_primitive_execute(plan->primitive, plan->stream, count, arguments);
    if (status != dnnl_success) return status;
    // A CPU stream is done here; builds over SYCL are not, until waited for.
    return dnnl_stream_wait(plan->stream);
}

const char *bn_dnnl_product_implementation(const bn_dnnl_product *plan) {
    return plan->implementation;
}

void bn_dnnl_product_destroy(bn_dnnl_product *plan) {
    if (plan == NULL) return;
    for (int kind = 0; kind < ARGUMENTS; kind++)
        if (plan->memories[kind] != NULL) dnnl_memory_destroy(plan->memories[kind]);
    if (plan->primitive != NULL) dnnl_primitive_destroy(plan->primitive);
    if (plan->description != NULL) dnnl_primitive_desc_destroy(plan->description);
    if (plan->stream != NULL) dnnl_stream_destroy(plan->stream);
    if (plan->engine != NULL) dnnl_engine_destroy(plan->engine);
    free(plan->scratch);
    free(plan);
}
