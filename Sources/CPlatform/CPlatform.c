#define _GNU_SOURCE
#include "include/CPlatform.h"

#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>
#if defined(__GLIBC__)
#include <gnu/libc-version.h>
#endif

static const int stop_signals[] = {SIGUSR1, SIGTERM, SIGINT, SIGHUP};
enum { STOP_SIGNALS = sizeof stop_signals / sizeof *stop_signals };
static struct sigaction stop_actions[STOP_SIGNALS];
static atomic_int stop_signal, interrupted;

static void on_stop_signal(int number) {
    if (number == SIGINT && atomic_exchange(&interrupted, 1)) {
        // Pending until this handler returns.
        signal(SIGINT, SIG_DFL);
        raise(SIGINT);
        return;
    }
    int none = 0;
    atomic_compare_exchange_strong(&stop_signal, &none, number);
}

void bn_catch_stop_signals(void) {
    struct sigaction action = {.sa_handler = on_stop_signal, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    for (int i = 0; i < STOP_SIGNALS; i++) {
        // What is ignored stays so: nohup ignores SIGHUP.
        sigaction(stop_signals[i], NULL, &stop_actions[i]);
        if (stop_actions[i].sa_handler != SIG_IGN) sigaction(stop_signals[i], &action, NULL);
    }
}

int bn_stop_signal(void) { return atomic_load_explicit(&stop_signal, memory_order_relaxed); }

void bn_restore_stop_signals(void) {
    for (int i = 0; i < STOP_SIGNALS; i++) sigaction(stop_signals[i], &stop_actions[i], NULL);
}

int bn_affinity_cores(void) {
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (int)online : 1;
}

int bn_current_cpu(void) { return sched_getcpu(); }

int bn_x86_64_level(void) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("x86-64-v4")) return 4;
    if (__builtin_cpu_supports("x86-64-v3")) return 3;
    return 2;
#else
    return 0;
#endif
}

int bn_cpu_runs_this_binary(void) {
#if defined(__x86_64__)
    __builtin_cpu_init();
#if defined(__AVX512F__)
    if (!__builtin_cpu_supports("avx512f")) return 0;
#endif
#if defined(__AVX512BW__)
    if (!__builtin_cpu_supports("avx512bw")) return 0;
#endif
#if defined(__AVX512DQ__)
    if (!__builtin_cpu_supports("avx512dq")) return 0;
#endif
#if defined(__AVX512VL__)
    if (!__builtin_cpu_supports("avx512vl")) return 0;
#endif
#if defined(__AVX512VNNI__)
    if (!__builtin_cpu_supports("avx512vnni")) return 0;
#endif
#if defined(__AVX512BF16__)
    if (!__builtin_cpu_supports("avx512bf16")) return 0;
#endif
#if defined(__AVX2__)
    if (!__builtin_cpu_supports("avx2")) return 0;
#endif
#if defined(__FMA__)
    if (!__builtin_cpu_supports("fma")) return 0;
#endif
#if defined(__BMI2__)
    if (!__builtin_cpu_supports("bmi2")) return 0;
#endif
#endif
    return 1;
}

const char *bn_compiled_instruction_set(void) {
#if defined(__AVX512F__)
    return "AVX-512";
#elif defined(__AVX2__)
    return "AVX2";
#elif defined(__x86_64__)
    return "SSE2";
#elif defined(__ARM_NEON)
    return "NEON";
#else
    return "generic";
#endif
}

const char *bn_cpu_instruction_set(void) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f")) return "AVX-512";
    if (__builtin_cpu_supports("avx2")) return "AVX2";
    return "SSE2";
#elif defined(__aarch64__)
    return "NEON";
#else
    return "generic";
#endif
}

const char *bn_c_library_version(void) {
#if defined(__GLIBC__)
    static char text[64];
    snprintf(text, sizeof text, "glibc %s", gnu_get_libc_version());
    return text;
#else
    return "unknown C library";
#endif
}
