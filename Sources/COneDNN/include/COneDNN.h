// oneDNN, versions 2 and 3 of its C API, behind one header: plans are made once and then executed
// without allocating anything here. Only this target sees oneDNN's own types.
//
// Functions that can fail return oneDNN's status: 0 is success, bn_dnnl_status_name names the rest.
#pragma once
#include <stdint.h>

/// 1 where the binary's vector registers hold 16 Float32 (AVX-512), else 0: kernels choose their
/// register tile by it. A macro of the compiler that Swift cannot ask for.
static inline int bn_compiled_for_512_bit_vectors(void) {
#if defined(__AVX512F__)
    return 1;
#else
    return 0;
#endif
}

/// Version of the loaded library: major * 10000 + minor * 100 + patch.
int bn_dnnl_version(void);

/// The words for a status ("unimplemented").
const char *bn_dnnl_status_name(int status);

/// Makes plans created and executed on the calling thread use this thread alone. Debian's oneDNN is
/// parallel through OpenMP, whose thread count is a property of the calling thread; a oneDNN
/// without OpenMP is left as it is.
void bn_dnnl_use_one_thread(void);

/// Threads that oneDNN's OpenMP would use on the calling thread; 1 without OpenMP.
int bn_dnnl_max_threads(void);

/// One operation on fixed shapes. A plan belongs to the thread that made it.
typedef struct bn_dnnl_plan bn_dnnl_plan;

/// Runs a plan; which operand is which, the function that makes the plan says. Operands that the
/// plan does not have are not looked at. `scratch` is memory for the time of the call, aligned to
/// 128 bytes, of `bn_dnnl_scratch_bytes`.
int bn_dnnl_execute(
    bn_dnnl_plan *plan, const float *a, const float *b, const float *bias, float *c,
    void *scratch);

/// How much scratch the plan needs, as oneDNN says; 0 for none.
int64_t bn_dnnl_scratch_bytes(const bn_dnnl_plan *plan);

/// oneDNN's name for the implementation it chose ("brg:avx512_core"), valid as long as the plan.
const char *bn_dnnl_implementation(const bn_dnnl_plan *plan);

void bn_dnnl_destroy(bn_dnnl_plan *plan);

/// A convolution over NHWC images; pairs are height, width. Dilation 1 is a dense kernel.
typedef struct {
    int64_t images, input_channels, output_channels, groups;
    int64_t input[2], output[2], kernel[2], stride[2], padding[2], dilation[2];
} bn_dnnl_convolution;

enum { BN_DNNL_MAX_DIMENSIONS = 5, BN_DNNL_MAX_BLOCKS = 6 };

/// Where the values of a tensor lie: the element at (x₀, x₁, …) is at Σ (xᵢ / Bᵢ)·strideᵢ + its
/// place in the blocks, the innermost last; Bᵢ is the product of the dimension's block sizes.
typedef struct {
    int dimensions, blocks;
    int64_t dims[BN_DNNL_MAX_DIMENSIONS], padded[BN_DNNL_MAX_DIMENSIONS];
    int64_t strides[BN_DNNL_MAX_DIMENSIONS];
    int64_t block_dimensions[BN_DNNL_MAX_BLOCKS], block_sizes[BN_DNNL_MAX_BLOCKS];
    int64_t count;  // Floats, padding included
} bn_dnnl_layout;

enum { BN_DNNL_FORWARD, BN_DNNL_BACKWARD_DATA, BN_DNNL_BACKWARD_WEIGHTS };

/// A plan for one pass of a convolution. Operands a, b, bias, c:
///
/// | pass | a | b | bias | c |
/// |---|---|---|---|---|
/// | forward | input | weight | bias | output |
/// | backward data | output gradient | weight | – | input gradient |
/// | backward weights | input | output gradient | bias gradient | weight gradient |
///
/// Weights are [O, I, R, S], or [G, O/G, I/G, R, S] with groups, in `layout`; without one, in
/// whichever layout oneDNN finds best, which it writes to `chosen`.
int bn_dnnl_convolution_create(
    bn_dnnl_plan **plan, const bn_dnnl_convolution *shape, int pass, const bn_dnnl_layout *layout,
    int bias, bn_dnnl_layout *chosen);

/// A plan that copies a (in `from`) to c (in `to`); padding of c becomes 0.
int bn_dnnl_reorder_create(
    bn_dnnl_plan **plan, const bn_dnnl_layout *from, const bn_dnnl_layout *to);
