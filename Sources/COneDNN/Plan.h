// What the files of this target share: the differences between the two APIs, and the plan.
#pragma once
#include "include/COneDNN.h"

#include <oneapi/dnnl/dnnl.h>

// Version 2 has memory descriptors by value and creates a primitive descriptor from an operation
// descriptor; version 3 has handles and does it in one step.
#if DNNL_VERSION_MAJOR >= 3
typedef const_dnnl_memory_desc_t const_descriptor;
typedef dnnl_memory_desc_t descriptor;
#else
typedef const dnnl_memory_desc_t *const_descriptor;
typedef dnnl_memory_desc_t *descriptor;
#endif

enum { PLAN_A, PLAN_B, PLAN_C, PLAN_BIAS, PLAN_SCRATCH, PLAN_ARGUMENTS };

struct bn_dnnl_plan {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    dnnl_primitive_desc_t description;
    dnnl_primitive_t primitive;
    int kinds[PLAN_ARGUMENTS];  // DNNL_ARG_…
    dnnl_memory_t memories[PLAN_ARGUMENTS];  // made once; each call only moves their data handles
    int64_t scratch_bytes;
    const char *implementation;
};

dnnl_status_t descriptor_create(
    descriptor *result, int dimensions, const int64_t *dims, dnnl_format_tag_t tag);

void descriptor_destroy(descriptor it);

/// An empty plan with its engine and stream, and attributes that leave scratch to the caller.
dnnl_status_t plan_open(bn_dnnl_plan **plan, dnnl_primitive_attr_t *attributes);

/// The memory of one argument of the plan.
dnnl_status_t plan_add(bn_dnnl_plan *plan, int argument, int kind, const_descriptor descriptor);

/// The primitive and the size of its scratch, from the plan's description.
dnnl_status_t plan_finish(bn_dnnl_plan *plan);
