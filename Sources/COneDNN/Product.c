#include "Plan.h"

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

static dnnl_status_t matrix(descriptor *result, int64_t rows, int64_t columns, int transposed) {
    const int64_t dims[] = {rows, columns};
    return descriptor_create(result, 2, dims, transposed ? dnnl_ba : dnnl_ab);
}

int bn_dnnl_product_create(
    bn_dnnl_plan **result, int64_t m, int64_t k, int64_t n, int transposed, int bias) {
    *result = NULL;
    bn_dnnl_plan *plan = NULL;
    dnnl_primitive_attr_t attributes = NULL;
    descriptor a = NULL, b = NULL, c = NULL, bias_row = NULL;
    dnnl_status_t status = plan_open(&plan, &attributes);
    if (status == dnnl_success) status = matrix(&a, m, k, 0);
    if (status == dnnl_success) status = matrix(&b, k, n, transposed);
    if (status == dnnl_success) status = matrix(&c, m, n, 0);
    if (status == dnnl_success && bias) status = matrix(&bias_row, 1, n, 0);
    if (status == dnnl_success)
        status = matmul_create(&plan->description, plan->engine, a, b, bias_row, c, attributes);
    if (status == dnnl_success) status = plan_add(plan, PLAN_A, DNNL_ARG_SRC, a);
    if (status == dnnl_success) status = plan_add(plan, PLAN_B, DNNL_ARG_WEIGHTS, b);
    if (status == dnnl_success) status = plan_add(plan, PLAN_C, DNNL_ARG_DST, c);
    if (status == dnnl_success && bias)
        status = plan_add(plan, PLAN_BIAS, DNNL_ARG_BIAS, bias_row);
    if (status == dnnl_success) status = plan_finish(plan);

    descriptor_destroy(a);
    descriptor_destroy(b);
    descriptor_destroy(c);
    descriptor_destroy(bias_row);
    if (attributes != NULL) dnnl_primitive_attr_destroy(attributes);
    if (status == dnnl_success) {
        *result = plan;
    } else {
        bn_dnnl_destroy(plan);
    }
    return status;
}
