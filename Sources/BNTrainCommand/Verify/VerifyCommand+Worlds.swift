import Collectives
import Configuration
import Foundation
import Layers
import MPICollectives
import Training

/// Another world, and what the same run came to in it.
struct VerifyWorld {
    let ranks: Int
    let threads: Int

    /// Whether mpirun started it; otherwise it is a team of threads in this process.
    let isLaunched: Bool

    /// `parameters_digest` after the last step; nil where it failed.
    var digest: String?

    /// What it said when it failed.
    var failure: String?

    /// "2 threads", "mpirun -n 2", "mpirun -n 2, 3 threads each".
    var words: String {
        let threads = counted(threads, "thread")
        return isLaunched
            ? "mpirun -n \(ranks)" + (self.threads > 1 ? ", \(threads) each" : "") : threads
    }

    /// The present world.
    static func words(_ world: World) -> String {
        world.ranks == 1
            ? counted(world.threadsPerRank, "thread")
            : "\(counted(world.ranks, "rank")) × \(counted(world.threadsPerRank, "thread"))"
    }

    func json(same digest: String) -> JSONValue {
        .object([
            "ranks": .int(ranks), "threads": .int(threads), "mpirun": .bool(isLaunched),
            "digest": self.digest.map { .string($0) } ?? .null,
            "same": .bool(self.digest == digest),
        ])
    }

    /// Worlds whose trees meet at other places: one worker, powers of two, uneven ones, both kinds
    /// of workers together. The others are made of the same parts.
    static let threads = [1, 2, 3, 4, 7, 8]
    static let launched = [(1, 1), (2, 1), (3, 1), (4, 1), (2, 2), (2, 3)]
}

extension VerifyCommand {
    /// The same steps in the other worlds that `--worlds` means, as far as they have a shard for
    /// every worker. Rank 0 runs them, while the others wait world by world.
    func otherWorlds(_ run: Launch.Run, digest: String) throws -> [VerifyWorld] {
        var worlds: [VerifyWorld] = []
        for threads in VerifyWorld.threads where threads <= run.plan.shards {
            var world = VerifyWorld(ranks: 1, threads: threads, isLaunched: false)
            try launch.agree {
                if launch.speaks { world.digest = try train(run, threads: threads) }
            }
            worlds.append(world)
        }
        guard let launcher = mpirun() else { return worlds }
        return try worlds
            + withTemporaryFolder("verify") { folder in
                let config = "\(folder)/config.json"
                try writeAtomically(path: config, text: run.plan.configuration.canonicalJSON)
                return try VerifyWorld.launched.filter { $0.0 * $0.1 <= run.plan.shards }.map {
                    var world = VerifyWorld(ranks: $0.0, threads: $0.1, isLaunched: true)
                    try world.run(
                        launcher, config: config, folder: folder, timeout: launch.arguments.timeout)
                    return world
                }
            }
    }

    /// The digest after the same steps by a team of `threads` in this process.
    private func train(_ run: Launch.Run, threads: Int) throws -> String {
        let trainer = Trainer(run.plan)
        let world = World(ranks: 1, threadsPerRank: threads, arithmetic: run.world.arithmetic)
        _ = try trainer.run(
            in: world, timeout: launch.arguments.timeout,
            spinning: threads <= launch.machine.cores)
        return trainer.replica.digest
    }

    /// Open MPI's mpirun, where ranks can be started from here; otherwise says why not.
    private func mpirun() -> String? {
        if launch.session.launcher.kind != .none {
            launch.say(
                "worlds   other numbers of ranks are not run from under a launcher: run "
                    + "`bn-train verify --worlds` without mpirun for those")
            return nil
        }
        #if MPI
            if let path = ChildProcess.pathOfProgram("mpirun") { return path }
            launch.warn("mpirun is not on PATH: only worlds of threads are compared")
        #else
            launch.warn("built without MPI: only worlds of threads are compared")
        #endif
        return nil
    }
}

extension VerifyWorld {
    /// Runs this very program under mpirun, and takes the digest from its last line.
    fileprivate mutating func run(
        _ mpirun: String, config: String, folder: String, timeout: Double
    ) throws {
        let name = "\(ranks)x\(threads)"
        let program = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        let child = try ChildProcess(
            // More ranks than cores, and threads of a rank on different ones, are both wanted here.
            [
                mpirun, "--oversubscribe", "--bind-to", "none", "-n", "\(ranks)", program, "train",
                "--config", config, "--threads", "\(threads)", "--out", "\(folder)/\(name)",
                "--timeout", "\(timeout)", "--json", "--quiet",
            ], adding: ChildProcess.environmentOfRanks(yielding: true),
            output: "\(folder)/\(name).stdout",
            errors: "\(folder)/\(name).stderr")
        let status = try child.wait()
        let lines = ChildProcess.lines("\(folder)/\(name).stdout")
        if status == 0, let last = lines.last,
            let digest = try? JSONValue(parsing: last)["parameters_digest"]?.string
        {
            self.digest = digest
            return
        }
        let errors = ChildProcess.lines("\(folder)/\(name).stderr")
        let ours = errors.first { $0.contains("bn-train: error: ") }
        failure = visible(ours ?? errors.last ?? "mpirun returned \(status) and said nothing")
    }
}
