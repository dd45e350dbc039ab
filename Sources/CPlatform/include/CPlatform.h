// What the CPU and the kernel can tell or do, and Swift cannot reach: instructions, macros, masks.
#pragma once
#include <stdint.h>

/// One spin of a waiting loop: tells the core to go easy (PAUSE, YIELD).
static inline void bn_pause(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/// Asks for `count` bytes from `address` on to be brought near, cache line by cache line. Rows that
/// are read at random from a data set larger than the caches otherwise cost a miss each.
static inline void bn_prefetch(const void *address, int64_t count) {
    for (int64_t offset = 0; offset < count; offset += 64)
        __builtin_prefetch((const char *)address + offset, 0, 3);
}

/// Asks for the cache line of `address`, which need not be mapped.
static inline void bn_prefetch_line(const void *address) { __builtin_prefetch(address, 0, 3); }

/// The same, into the second-level cache.
static inline void bn_prefetch_line_nearby(const void *address) { __builtin_prefetch(address, 0, 2); }

/// The same for a line that this core alone is to have, in order to write it.
static inline void bn_prefetch_line_to_write(const void *address) { __builtin_prefetch(address, 1, 3); }

/// From here on SIGUSR1, SIGTERM, SIGHUP and SIGINT only set a flag, by which the process stops when
/// it has saved what it has; those that the process was started to ignore stay ignored. A second SIGINT
/// ends it at once, as if nothing caught it.
void bn_catch_stop_signals(void);

/// The first of these signals that came, or 0.
int bn_stop_signal(void);

/// Gives the signals back what they did before.
void bn_restore_stop_signals(void);

/// 1 where the binary's vector registers hold 16 Float32 (AVX-512), else 0: kernels choose their
/// register tile by it. A macro of the compiler that Swift cannot ask for.
static inline int bn_compiled_for_512_bit_vectors(void) {
#if defined(__AVX512F__)
    return 1;
#else
    return 0;
#endif
}

/// Eight and sixteen values: Swift's SIMD8 and SIMD16.
typedef float bn_float8 __attribute__((ext_vector_type(8)));
typedef float bn_float16 __attribute__((ext_vector_type(16)));
typedef double bn_double16 __attribute__((ext_vector_type(16)));

/// a·b + c, each fused. Swift's addingProduct is one such operation a lane, which the compiler has to
/// put together again, and gives up on in large blocks.
static inline __attribute__((always_inline)) bn_float8 bn_fma_float8(
    bn_float8 a, bn_float8 b, bn_float8 c) {
    return __builtin_elementwise_fma(a, b, c);
}

static inline __attribute__((always_inline)) bn_float16 bn_fma_float16(
    bn_float16 a, bn_float16 b, bn_float16 c) {
    return __builtin_elementwise_fma(a, b, c);
}

static inline __attribute__((always_inline)) bn_double16 bn_fma_double16(
    bn_double16 a, bn_double16 b, bn_double16 c) {
    return __builtin_elementwise_fma(a, b, c);
}

/// Cores that the affinity mask of this process allows.
int bn_affinity_cores(void);

/// Index of the CPU the calling thread runs on, or -1.
int bn_current_cpu(void);

/// The x86-64 level of this CPU, of those that launch/setup --portable builds for: 4, 3 or 2; 0 on
/// others.
int bn_x86_64_level(void);

/// The level that this binary was compiled for, 4 or 3; 2 for any lower one, and 0 on other CPUs.
static inline int bn_compiled_x86_64_level(void) {
#if defined(__AVX512VL__) && defined(__AVX512BW__) && defined(__AVX512DQ__)
    return 4;
#elif defined(__AVX2__) && defined(__FMA__)
    return 3;
#elif defined(__x86_64__)
    return 2;
#else
    return 0;
#endif
}

/// 1 if the instructions this binary was compiled for (-march) run on this CPU, else 0.
int bn_cpu_runs_this_binary(void);

/// The instruction set this binary was compiled for: "AVX-512", "AVX2", "SSE2", "NEON", "generic".
const char *bn_compiled_instruction_set(void);

/// The widest instruction set of this CPU, in the same words.
const char *bn_cpu_instruction_set(void);

/// Name and version of the C library ("glibc 2.36").
const char *bn_c_library_version(void);
