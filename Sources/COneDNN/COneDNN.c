#ifndef _GNU_SOURCE
#define _GNU_SOURCE  // RTLD_DEFAULT
#endif
#include "include/COneDNN.h"

#include <dlfcn.h>

#include <oneapi/dnnl/dnnl.h>
#include <oneapi/dnnl/dnnl_debug.h>

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
