// Weight layouts as plain values, from and to oneDNN's descriptors.
#pragma once
#include "Plan.h"

/// Reads a blocked descriptor; dnnl_unimplemented where it is none.
dnnl_status_t layout_read(bn_dnnl_layout *result, const_descriptor descriptor);

/// The descriptor of a layout; dnnl_unimplemented where this library has no tag for it.
dnnl_status_t layout_descriptor(descriptor *result, const bn_dnnl_layout *layout);
