#if defined(BN_WITH_MPI)
#define _GNU_SOURCE
#include "include/CMPI.h"

#include <mpi.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

struct bn_mpi_requests {
    int capacity;
    int count;
    MPI_Request *handles;
    MPI_Status *statuses;
    int *peers;     // the other rank; -1 for a sum
    int *expected;  // bytes to receive; -1 for a send or a sum
};

static MPI_Comm world = MPI_COMM_NULL;

int bn_mpi_start(int *rank, int *ranks) {
    int granted;
    int code = MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &granted);
    if (code != MPI_SUCCESS) return code;
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    code = MPI_Comm_dup(MPI_COMM_WORLD, &world);
    if (code != MPI_SUCCESS) return code;
    MPI_Comm_set_errhandler(world, MPI_ERRORS_RETURN);
    code = MPI_Comm_rank(world, rank);
    if (code != MPI_SUCCESS) return code;
    return MPI_Comm_size(world, ranks);
}

int bn_mpi_process_memory_can_be_read(void) {
#if defined(__linux__)
    // A profile refuses the call whatever it reads; that of this process needs no permission.
    char from = 1, to = 0;
    struct iovec target = {&to, 1}, source = {&from, 1};
    return process_vm_readv(getpid(), &target, 1, &source, 1, 0) == 1;
#else
    return 1;
#endif
}

int bn_mpi_threads_allowed(void) {
    int level;
    return MPI_Query_thread(&level) == MPI_SUCCESS && level >= MPI_THREAD_FUNNELED;
}

int bn_mpi_local_ranks(int *ranks, int *cores) {
    MPI_Comm host;
    int code = MPI_Comm_split_type(world, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &host);
    if (code != MPI_SUCCESS) return code;
    code = MPI_Comm_size(host, ranks);
    cpu_set_t mask;
    CPU_ZERO(&mask);
    // A host of more than 1024 CPUs refuses this mask: count what is online instead.
    int known = sched_getaffinity(0, sizeof mask, &mask) == 0;
    if (code == MPI_SUCCESS)
        code = MPI_Allreduce(MPI_IN_PLACE, &mask, sizeof mask, MPI_BYTE, MPI_BOR, host);
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    *cores = known ? CPU_COUNT(&mask) : online > 0 ? (int)online : 1;
    MPI_Comm_free(&host);
    return code;
}

void bn_mpi_library_version(char *text, int capacity) {
    char whole[MPI_MAX_LIBRARY_VERSION_STRING];
    int length;
    if (MPI_Get_library_version(whole, &length) != MPI_SUCCESS) whole[0] = 0;
    snprintf(text, (size_t)capacity, "%s", whole);
}

void bn_mpi_error_text(int code, char *text, int capacity) {
    char whole[MPI_MAX_ERROR_STRING];
    int length;
    const char *words = whole;
    if (code == BN_MPI_TOO_LONG) words = "a count does not fit MPI's int";
    else if (code == BN_MPI_NO_MEMORY) words = "no memory for another request";
    else if (code == BN_MPI_TOO_SHORT) words = "a message is shorter than expected";
    else if (MPI_Error_string(code, whole, &length) != MPI_SUCCESS) words = "unknown MPI error";
    snprintf(text, (size_t)capacity, "%s", words);
}

void bn_mpi_abort(int code) { MPI_Abort(MPI_COMM_WORLD, code); }

int bn_mpi_finalize(void) { return MPI_Finalize(); }

static int grow(bn_mpi_requests *table, int capacity) {
    size_t n = (size_t)capacity;
    void *handles = realloc(table->handles, n * sizeof *table->handles);
    if (handles) table->handles = handles;
    void *statuses = realloc(table->statuses, n * sizeof *table->statuses);
    if (statuses) table->statuses = statuses;
    void *peers = realloc(table->peers, n * sizeof *table->peers);
    if (peers) table->peers = peers;
    void *expected = realloc(table->expected, n * sizeof *table->expected);
    if (expected) table->expected = expected;
    if (!handles || !statuses || !peers || !expected) return BN_MPI_NO_MEMORY;
    table->capacity = capacity;
    return 0;
}

bn_mpi_requests *bn_mpi_requests_create(int capacity) {
    bn_mpi_requests *table = calloc(1, sizeof *table);
    if (table && grow(table, capacity) != 0) {
        bn_mpi_requests_free(table);
        return NULL;
    }
    return table;
}

void bn_mpi_requests_free(bn_mpi_requests *table) {
    if (!table) return;
    free(table->handles);
    free(table->statuses);
    free(table->peers);
    free(table->expected);
    free(table);
}

int bn_mpi_requests_count(const bn_mpi_requests *table) { return table->count; }

// A slot at table->count, after a check of the message's count. Doubling ends with the first step.
static int make_room(bn_mpi_requests *table, int64_t count) {
    if (count < 0 || count > INT32_MAX) return BN_MPI_TOO_LONG;
    if (table->count < table->capacity) return 0;
    if (table->capacity > INT32_MAX / 2) return BN_MPI_NO_MEMORY;
    return grow(table, 2 * table->capacity);
}

static int commit(bn_mpi_requests *table, int code, int peer, int expected) {
    if (code != MPI_SUCCESS) return code;
    table->peers[table->count] = peer;
    table->expected[table->count] = expected;
    table->count++;
    return 0;
}

int bn_mpi_send(bn_mpi_requests *table, const void *bytes, int64_t count, int peer, int tag) {
    int code = make_room(table, count);
    if (code != 0) return code;
    MPI_Request *slot = table->handles + table->count;
    code = MPI_Isend(bytes, (int)count, MPI_BYTE, peer, tag, world, slot);
    return commit(table, code, peer, -1);
}

int bn_mpi_receive(bn_mpi_requests *table, void *bytes, int64_t count, int peer, int tag) {
    int code = make_room(table, count);
    if (code != 0) return code;
    MPI_Request *slot = table->handles + table->count;
    code = MPI_Irecv(bytes, (int)count, MPI_BYTE, peer, tag, world, slot);
    return commit(table, code, peer, (int)count);
}

static int sum(bn_mpi_requests *table, void *values, int64_t count, MPI_Datatype type) {
    int code = make_room(table, count);
    if (code != 0) return code;
    MPI_Request *slot = table->handles + table->count;
    code = MPI_Iallreduce(MPI_IN_PLACE, values, (int)count, type, MPI_SUM, world, slot);
    return commit(table, code, -1, -1);
}

int bn_mpi_sum_doubles(bn_mpi_requests *table, double *values, int64_t count) {
    return sum(table, values, count, MPI_DOUBLE);
}

int bn_mpi_sum_floats(bn_mpi_requests *table, float *values, int64_t count) {
    return sum(table, values, count, MPI_FLOAT);
}

// The first failure among `count` requests of which Testall said `code`; `peer` is its rank.
static int failure(bn_mpi_requests *table, int count, int code, int *peer) {
    for (int i = 0; i < count; i++) {
        MPI_Status *status = &table->statuses[i];
        int own = MPI_SUCCESS;
        if (code == MPI_ERR_IN_STATUS) {
            own = status->MPI_ERROR == MPI_ERR_PENDING ? MPI_SUCCESS : status->MPI_ERROR;
        } else if (table->expected[i] >= 0) {
            int received;
            own = MPI_Get_count(status, MPI_BYTE, &received);
            if (own == MPI_SUCCESS && received != table->expected[i]) own = BN_MPI_TOO_SHORT;
        }
        if (own == MPI_SUCCESS) continue;
        *peer = table->peers[i];
        return own;
    }
    return code;
}

int bn_mpi_test(bn_mpi_requests *table, int *done, int *peer) {
    *done = 0;
    *peer = -1;
    int count = table->count;
    int code = MPI_Testall(count, table->handles, done, table->statuses);
    if (code == MPI_SUCCESS && !*done) return 0;
    table->count = 0;
    return code == MPI_SUCCESS || code == MPI_ERR_IN_STATUS ? failure(table, count, code, peer)
                                                            : code;
}

int bn_mpi_waits_for(bn_mpi_requests *table, int index) {
    int complete = 0;
    if (MPI_Request_get_status(table->handles[index], &complete, MPI_STATUS_IGNORE) != MPI_SUCCESS)
        return table->peers[index];
    return complete ? -1 : table->peers[index];
}
#endif
