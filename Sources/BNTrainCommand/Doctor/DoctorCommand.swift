import CPlatform
import Configuration
import Datasets
import Glibc
import Kernels
import Layers
import MPICollectives
import Models
import TensorCore
import Training

/// `doctor`: what the program runs with, and what is slow or wrong.
enum DoctorCommand {
    /// How long short runs in several worlds may begin.
    private static let secondsOfWorlds = 10.0

    /// Runs the command on every rank; rank 0 prints to standard output.
    ///
    /// - Returns: 0, whatever it warns of.
    /// - Throws: `ConfigurationError`; `CollectiveError` where a rank does not answer.
    static func run(
        _ arguments: Arguments, session: MPISession, environment: [String: String]
    ) throws -> Int32 {
        let configuration = try RunConfiguration.load(
            file: arguments.config, settings: arguments.settings)
        let machine = Machine.present(environment: environment)
        let record = [machine.host, "\(machine.affinityCores)", machine.affinityList]
        let records = try session.gather(
            record: Array(record.joined(separator: "\n").utf8), seconds: arguments.timeout)
        guard session.rank == 0 else { return 0 }
        let facts = try facts(
            arguments, configuration, machine, session: session,
            places: records.enumerated().map(place))
        Console.output(arguments.json ? facts.json.text + "\n" : facts.text)
        return 0
    }

    /// What a rank told of itself.
    private static func place(rank: Int, record: [UInt8]) -> DoctorFacts.RankPlace {
        let parts = String(decoding: record, as: UTF8.self)
            .split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 3, let cores = Int(parts[1]) else {
            return DoctorFacts.RankPlace(rank: rank, host: "?", cores: 1, mask: "?")
        }
        return DoctorFacts.RankPlace(rank: rank, host: parts[0], cores: cores, mask: parts[2])
    }

    private static func facts(
        _ arguments: Arguments, _ configuration: RunConfiguration, _ machine: Machine,
        session: MPISession, places: [DoctorFacts.RankPlace]
    ) throws -> DoctorFacts {
        let isUnderLauncher = session.launcher.kind != .none
        let model = try ModelSize(configuration)
        return DoctorFacts(
            program: "bn-train \(programVersion)", compiler: compilerVersion,
            mpi: MPISession.libraryVersion, lapack: lapackVersion,
            cLibrary: String(cString: bn_c_library_version()),
            isDebugBuild: _isDebugAssertConfiguration(), machine: machine,
            isUnderOpenMPI: session.launcher.kind == .openMPI, isUnderLauncher: isUnderLauncher,
            isRoot: geteuid() == 0, rank: session.rank, localRanks: session.localRanks,
            localCores: session.localCores ?? machine.affinityCores, places: places,
            threads: arguments.threads
                ?? Machine.defaultThreads(
                    cores: machine.cores, shards: configuration.resolvedShards,
                    underMPI: isUnderLauncher),
            threadsAreGiven: arguments.threads != nil, model: model.name,
            parameters: model.parameters, replicaBytes: model.replicaBytes,
            copiesTwice: session.copiesTwice,
            // Ranks of a launcher have each but some of the cores, and `verify` compares those.
            worlds: isUnderLauncher
                ? nil
                : try WorldComparison(configuration, name: model.name).run(
                    seconds: secondsOfWorlds))
    }

    /// As far as the compiler tells the program.
    private static var compilerVersion: String {
        #if compiler(>=6.4)
            "6.4 or later"
        #elseif compiler(>=6.3.1)
            "6.3.1 or a later 6.3"
        #elseif compiler(>=6.3)
            "6.3"
        #elseif compiler(>=6.2)
            "6.2"
        #else
            "6.1"
        #endif
    }
}

/// How large the configured model is, as far as it can be told without its data.
struct ModelSize: Equatable {
    let name: String
    let parameters: Int

    /// Parameters, gradient, velocity (with momentum) and running statistics; Float32 each.
    let replicaBytes: Int

    /// For the images that such a network usually takes.
    ///
    /// - Throws: `ModelError`, which those images do not cause.
    init(_ configuration: RunConfiguration) throws {
        let model = configuration.model
        let (image, classes) = model.usualInput
        let specification = try NetworkSpecification(model, input: image, classes: classes)
        let layout = specification.layout(shards: configuration.resolvedShards)
        let widths = ([image.count] + model.hidden + [classes]).map { "\($0)" }
        let extent =
            model.name == .mlp ? widths.joined(separator: "-") : "on \(image)"
        name = "\(specification.name) \(extent)\(specification.isNormalized ? " with BN" : "")"
        parameters = layout.parameterCount
        // Parameters, gradient, and what the optimizer keeps.
        let isAdam = [.adam, .adamW].contains(configuration.optimizer.name)
        let copies = isAdam ? 4 : configuration.optimizer.momentum > 0 ? 3 : 2
        replicaBytes = 4 * (copies * layout.length + layout.statisticsLength)
    }
}

extension DoctorFacts {
    /// The report for machines.
    var json: JSONValue {
        .object([
            "command": "doctor", "program": .string(program), "compiler": .string(compiler),
            "debug_build": .bool(isDebugBuild), "mpi": mpi.map(JSONValue.string) ?? nil,
            "lapack": .string(lapack), "c_library": .string(cLibrary),
            "host": .string(machine.host), "cpu": .string(machine.cpu),
            "instruction_set": .object([
                "compiled": .string(machine.compiledInstructionSet),
                "cpu": .string(machine.cpuInstructionSet),
            ]),
            "memory_bytes": .int(machine.memory),
            "cores": .object([
                "usable": .int(machine.cores), "affinity": .int(machine.affinityCores),
                "mask": .string(machine.affinityList),
                "quota": machine.quota.map(JSONValue.int) ?? nil,
            ]),
            "omp_num_threads": machine.openMPThreads.map(JSONValue.int) ?? nil,
            "world": .object([
                "ranks": .int(ranks), "threads": .int(threads), "workers": .int(ranks * threads),
            ]),
            "rank": .int(rank), "local_ranks": .int(localRanks), "local_cores": .int(localCores),
            "binding": .array(
                places.map { place in
                    .object([
                        "rank": .int(place.rank), "host": .string(place.host),
                        "cores": .int(place.cores), "mask": .string(place.mask),
                    ])
                }),
            "model": .string(model), "parameters": .int(parameters),
            "replica_bytes": .int(replicaBytes),
            "same_bits": worlds.map { worlds in
                .array(
                    worlds.map {
                        .object([
                            "network": .string($0.name),
                            "threads": .array($0.threads.map { .int($0) }),
                            "different": .array($0.different.map { .int($0) }),
                        ])
                    })
            } ?? .null,
            "warnings": .array(
                warnings.map {
                    .object(["kind": .string($0.kind), "text": .string($0.text)])
                }),
        ])
    }
}
