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

/// A plan for one matrix product in Float32: C [m, n] = A [m, k] · B [k, n] (+ bias [n]).
///
/// All matrices are row-major; with `transposed`, B is stored as [n, k]. A matrix product rather
/// than oneDNN's inner product: in 2.6.3 the latter's rows depend on how many there are (its GEMM
/// splits differently), which would make bits depend on how shards are grouped.
///
/// A plan belongs to the thread that made it.
typedef struct bn_dnnl_product bn_dnnl_product;

int bn_dnnl_product_create(
    bn_dnnl_product **plan, int64_t m, int64_t k, int64_t n, int transposed, int bias);

/// `bias` is read only by plans made with one.
int bn_dnnl_product_execute(
    bn_dnnl_product *plan, const float *a, const float *b, const float *bias, float *c);

/// oneDNN's name for the implementation it chose ("brg:avx512_core"), valid as long as the plan.
const char *bn_dnnl_product_implementation(const bn_dnnl_product *plan);

void bn_dnnl_product_destroy(bn_dnnl_product *plan);
