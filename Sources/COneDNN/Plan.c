#include "Plan.h"

#include <stdlib.h>

dnnl_status_t descriptor_create(
    descriptor *result, int dimensions, const int64_t *dims, dnnl_format_tag_t tag) {
#if DNNL_VERSION_MAJOR >= 3
    return dnnl_memory_desc_create_with_tag(result, dimensions, dims, dnnl_f32, tag);
#else
    *result = malloc(sizeof(dnnl_memory_desc_t));
    if (*result == NULL) return dnnl_out_of_memory;
    dnnl_status_t status = dnnl_memory_desc_init_by_tag(*result, dimensions, dims, dnnl_f32, tag);
    if (status != dnnl_success) {
        free(*result);
        *result = NULL;
    }
    return status;
#endif
}

void descriptor_destroy(descriptor it) {
#if DNNL_VERSION_MAJOR >= 3
    if (it != NULL) dnnl_memory_desc_destroy(it);
#else
    free(it);
#endif
}

dnnl_status_t plan_open(bn_dnnl_plan **plan, dnnl_primitive_attr_t *attributes) {
    *plan = calloc(1, sizeof(bn_dnnl_plan));
    if (*plan == NULL) return dnnl_out_of_memory;
    dnnl_status_t status = dnnl_engine_create(&(*plan)->engine, dnnl_cpu, 0);
    if (status == dnnl_success)
        status =
            dnnl_stream_create(&(*plan)->stream, (*plan)->engine, dnnl_stream_default_flags);
    if (status == dnnl_success) status = dnnl_primitive_attr_create(attributes);
    // Scratch is the caller's, so that execution does not allocate, plans of a thread share it, and
    // threads share nothing.
    if (status == dnnl_success)
        status = dnnl_primitive_attr_set_scratchpad_mode(*attributes, dnnl_scratchpad_mode_user);
    return status;
}

dnnl_status_t plan_add(bn_dnnl_plan *plan, int argument, int kind, const_descriptor descriptor) {
    plan->kinds[argument] = kind;
    return dnnl_memory_create(
        &plan->memories[argument], descriptor, plan->engine, DNNL_MEMORY_NONE);
}

dnnl_status_t plan_finish(bn_dnnl_plan *plan) {
    dnnl_status_t status = dnnl_primitive_desc_query(
        plan->description, dnnl_query_impl_info_str, 0, (void *)&plan->implementation);
    if (status == dnnl_success)
        status = dnnl_primitive_create(&plan->primitive, plan->description);
    if (status != dnnl_success) return status;

    const_descriptor scratch =
        dnnl_primitive_desc_query_md(plan->description, dnnl_query_scratchpad_md, 0);
    plan->scratch_bytes = scratch == NULL ? 0 : (int64_t)dnnl_memory_desc_get_size(scratch);
    if (plan->scratch_bytes == 0) return dnnl_success;
    return plan_add(plan, PLAN_SCRATCH, DNNL_ARG_SCRATCHPAD, scratch);
}

int64_t bn_dnnl_scratch_bytes(const bn_dnnl_plan *plan) { return plan->scratch_bytes; }

int bn_dnnl_execute(
    bn_dnnl_plan *plan, const float *a, const float *b, const float *bias, float *c,
    void *scratch) {
    void *handles[PLAN_ARGUMENTS] = {(void *)a, (void *)b, c, (void *)bias, scratch};
    dnnl_exec_arg_t arguments[PLAN_ARGUMENTS];
    int count = 0;
    for (int argument = 0; argument < PLAN_ARGUMENTS; argument++) {
        if (plan->memories[argument] == NULL) continue;
        dnnl_status_t status =
            dnnl_memory_set_data_handle(plan->memories[argument], handles[argument]);
        if (status != dnnl_success) return status;
        arguments[count].arg = plan->kinds[argument];
        arguments[count].memory = plan->memories[argument];
        count++;
    }
    dnnl_status_t status = dnnl_primitive_execute(plan->primitive, plan->stream, count, arguments);
    if (status != dnnl_success) return status;
    // A CPU stream is done here; builds over SYCL are not, until waited for.
    return dnnl_stream_wait(plan->stream);
}

const char *bn_dnnl_implementation(const bn_dnnl_plan *plan) { return plan->implementation; }

void bn_dnnl_destroy(bn_dnnl_plan *plan) {
    if (plan == NULL) return;
    for (int argument = 0; argument < PLAN_ARGUMENTS; argument++)
        if (plan->memories[argument] != NULL) dnnl_memory_destroy(plan->memories[argument]);
    if (plan->primitive != NULL) dnnl_primitive_destroy(plan->primitive);
    if (plan->description != NULL) dnnl_primitive_desc_destroy(plan->description);
    if (plan->stream != NULL) dnnl_stream_destroy(plan->stream);
    if (plan->engine != NULL) dnnl_engine_destroy(plan->engine);
    free(plan);
}
