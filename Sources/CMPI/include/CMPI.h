// Open MPI as Swift can call it. MPI's constants are macros over structures, which Swift cannot
// import, and its counts are int: both end here. The header does not include <mpi.h>, so that it
// compiles where MPI is not installed; CMPI.c is empty unless BN_WITH_MPI is defined.
//
// No function here waits for another rank but bn_mpi_start, bn_mpi_local_ranks and bn_mpi_finalize,
// which all ranks call together. An int result is 0 or a code for bn_mpi_error_text.
#pragma once
#include <stdint.h>

/// Codes of this shim. MPI's own are positive.
enum {
    /// A count does not fit MPI's int.
    BN_MPI_TOO_LONG = -1,
    /// The request table could not grow.
    BN_MPI_NO_MEMORY = -2,
    /// A message was shorter than the receiver expected, which MPI takes for success.
    BN_MPI_TOO_SHORT = -3,
};

/// Requests under way, with the rank each waits for. MPI_Request is a pointer in Open MPI and an
/// int elsewhere, so the table lives on this side.
typedef struct bn_mpi_requests bn_mpi_requests;

/// MPI_Init_thread with MPI_THREAD_FUNNELED, errors returned instead of ending the process, and a
/// communicator of our own, so that no library's message can be taken for one of ours.
int bn_mpi_start(int *rank, int *ranks);

/// 1 if process_vm_readv, with which Open MPI reads the memory of another rank, is allowed at all: 0 in
/// containers whose seccomp profile refuses it. For use before MPI starts.
int bn_mpi_process_memory_can_be_read(void);

/// 1 if MPI granted that one thread of several makes MPI calls (MPI_Query_thread). A library built
/// without threads grants less, and its calls would race with a team's use of malloc.
int bn_mpi_threads_allowed(void);

/// Ranks on this host, and the cores that their affinity masks allow together: mpirun binds two
/// ranks to one core each, and still neither has to give its core up while it waits.
int bn_mpi_local_ranks(int *ranks, int *cores);

/// Library name and version, callable before bn_mpi_start: what a bug report needs.
void bn_mpi_library_version(char *text, int capacity);

/// Text of an error code, MPI's or this shim's.
void bn_mpi_error_text(int code, char *text, int capacity);

/// Ends all ranks; mpirun returns `code`. The only way out for a rank whose peers wait for it.
void bn_mpi_abort(int code);

/// MPI_Finalize, without which mpirun takes a clean exit for a crash.
int bn_mpi_finalize(void);

/// A table for `capacity` requests, or NULL without memory.
bn_mpi_requests *bn_mpi_requests_create(int capacity);

/// Frees the table; requests still under way are left to the library.
void bn_mpi_requests_free(bn_mpi_requests *table);

/// Requests in the table, complete or not.
int bn_mpi_requests_count(const bn_mpi_requests *table);

/// Starts a send, as bytes: the payload's type is the callers' business.
int bn_mpi_send(bn_mpi_requests *table, const void *bytes, int64_t count, int peer, int tag);

/// Starts a receive of exactly `count` bytes; bn_mpi_test checks that as many came.
int bn_mpi_receive(bn_mpi_requests *table, void *bytes, int64_t count, int peer, int tag);

/// Starts MPI_Iallreduce(MPI_SUM) in place: the baseline that the reduction tree is compared with.
int bn_mpi_sum_doubles(bn_mpi_requests *table, double *values, int64_t count);

/// As bn_mpi_sum_doubles, of Float32.
int bn_mpi_sum_floats(bn_mpi_requests *table, float *values, int64_t count);

/// Lets MPI make progress and sets `done` to 1, emptying the table, when every request is complete.
/// On an error `peer` is the rank whose message failed, or -1, and the table is emptied: what is
/// still under way is left to the library, because only bn_mpi_abort makes sense now.
int bn_mpi_test(bn_mpi_requests *table, int *done, int *peer);

/// The rank that request `index` still waits for; -1 if it is complete or a sum over all ranks.
/// A deadline's message names these ranks.
int bn_mpi_waits_for(bn_mpi_requests *table, int index);
