import TestSupport
import Testing
import Training

/// Ranks and threads of each.
private struct Worldly: Hashable, CustomTestStringConvertible, Sendable {
    let ranks: Int
    let threads: Int

    init(_ ranks: Int, _ threads: Int) {
        self.ranks = ranks
        self.threads = threads
    }

    var workers: Int { ranks * threads }
    var testDescription: String { "\(ranks)×\(threads)" }
}

private let worlds =
    [1, 2, 3, 4, 7, 8].map { Worldly(1, $0) }
    + [1, 2, 3, 4].map { Worldly($0, 1) } + [Worldly(2, 2), Worldly(2, 3)]

/// Runs a program that may not read other processes' memory, as in a container.
private let refusal = """
    #include <errno.h>
    #include <linux/filter.h>
    #include <linux/seccomp.h>
    #include <stddef.h>
    #include <sys/prctl.h>
    #include <sys/syscall.h>
    #include <unistd.h>

    int main(int count, char **words) {
        struct sock_filter code[] = {
            BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_process_vm_readv, 1, 0),
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_process_vm_writev, 0, 1),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        };
        struct sock_fprog filter = {sizeof code / sizeof *code, code};
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
            || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter)) return 99;
        execvp(words[1], words + 1);
        return 98;
    }
    """

private let hasCompiler: Bool = (try? runProcess(["cc", "--version"]).status) == 0

extension ProgramTests {
    @Suite("The same bits in any world, by the built program and Open MPI")
    struct Worlds {
        /// The digest that a short run over several epochs ends with.
        private func digest(
            _ world: Worldly, underMPI: Bool, _ words: [String], in place: Workplace
        ) throws -> String {
            let words =
                Workplace.short + words
                + ["--threads", "\(world.threads)", "--quiet", "--json"]
            let result =
                try underMPI
                ? place.run(ranks: world.ranks, words) : place.run(words)
            result.expectSuccess()
            let object = try result.lastObject()
            #expect(
                object["world"] == [
                    "ranks": .int(world.ranks), "threads": .int(world.threads),
                    "workers": .int(world.workers),
                ])
            return try #require(object["parameters_digest"]?.string)
        }

        @Test(
            "where ranks may not read each other's memory, messages are copied, and that is said once",
            .enabled(if: hasCompiler, "there is no C compiler"))
        func refusedMemory() throws {
            guard mpirunIsInstalled else { try Test.cancel("it needs mpirun") }
            let place = try Workplace()
            try place.write(refusal, to: "refusal.c")
            let built = try runProcess(
                ["-C", place.path, "cc", "-O1", "-o", "refusal", "refusal.c"])
            guard built.status == 0 else { try Test.cancel("the kernel's headers are missing") }
            let probe = try runProcess([place.file("refusal"), "true"])
            guard probe.status == 0 else { try Test.cancel("seccomp filters are not allowed") }
            let words = [Workplace.program] + Workplace.short + ["--json"]
            let free = try place.run(contexts: [["-n", "2"] + words + ["--out", "free"]])
            free.expectSuccess()
            #expect(!free.stderr.contains("process_vm_readv"))
            let refused = try place.run(
                contexts: [["-n", "2", place.file("refusal")] + words + ["--out", "refused"]])
            refused.expectSuccess()
            let lines = refused.stderr.split(separator: "\n")
            #expect(!lines.contains { $0.contains("Read -1") }, "\(refused.stderr)")
            #expect(
                lines.filter { $0.contains("process_vm_readv") } == [
                    "ranks    \(hostName) refuses process_vm_readv, as containers do: messages "
                        + "between its ranks are copied twice (docker's --cap-add SYS_PTRACE allows it)"
                ])
            #expect(
                try refused.lastObject()["parameters_digest"]
                    == free.lastObject()["parameters_digest"])
        }

        @Test(
            "one digest over threads, ranks and both",
            arguments: ["\"global\"", "{group: 2}", "\"shard\""])
        func sameBits(scope: String) throws {
            let place = try Workplace()
            // The short last batch of 11 would leave shards of one sample where each has
            // statistics of its own: then it has 19 samples of 211.
            var words = ["--set", "model.normalization.scope=\(scope)"]
            if scope != "\"global\"" { words += ["--set", "data.samples=211"] }
            let alone = try digest(Worldly(1, 1), underMPI: false, words, in: place)
            for world in worlds {
                // mpirun -n 1 is a world of its own: MPI is started.
                for underMPI in world.ranks > 1
                    ? [true] : world.threads > 1 ? [false] : [false, true]
                {
                    let digest = try digest(world, underMPI: underMPI, words, in: place)
                    #expect(digest == alone, "\(world.testDescription), mpirun: \(underMPI)")
                }
            }
        }

        @Test("more ranks than shards are refused", .timeLimit(.minutes(1)))
        func tooLarge() throws {
            let place = try Workplace()
            try place.run(
                ranks: 6,
                Workplace.short + ["--set", "batch.shards=5", "--threads", "2", "--quiet"]
            ).expect(
                64,
                "6 ranks are more than the 5 shards of a batch, and each rank needs one: start at "
                    + "most 5 ranks and give them --threads, or set batch.shards to at least 6")
        }

        @Test("the test bites: a team's and MPI_Allreduce's own sums move with the world")
        func bites() throws {
            let place = try Workplace()
            let right = try digest(Worldly(1, 1), underMPI: false, [], in: place)
            let words = ["--set", "collectives=mpi"]
            // Teams and ranks each on their own.
            for other in [Worldly(1, 3), Worldly(3, 1)] {
                let digests = try Set(
                    [Worldly(1, 1), other].map {
                        try digest($0, underMPI: $0.ranks > 1, words, in: place)
                    })
                #expect(digests.count > 1, "\(other)")
                #expect(digests != [right])
            }
        }
    }
}
