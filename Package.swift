// swift-tools-version: 6.1
import PackageDescription

// The rooms, each with the rooms it may import. ArchitectureTests checks the import lines against
// this table, because SwiftPM does not notice an import that leaks in through another target.
// CPU flags come from the launch scripts (-Xcc -march=…), never from here: a package with unsafe
// flags cannot be a dependency.

let settings: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("ExistentialAny"),
]

/// A dependency that exists only when the package is built with MPI.
func mpi(_ name: String) -> Target.Dependency {
    .target(name: name, condition: .when(traits: ["MPI"]))
}

func room(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: settings)
}

func tests(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .testTarget(
        name: name, dependencies: dependencies + ["TestSupport"], exclude: fixtures[name] ?? [],
        swiftSettings: settings)
}

/// Folders in test targets that hold data and the scripts that made it, read by path.
let fixtures: [String: [String]] = [
    "ModelsTests": ["Fixtures"], "TrainingTests": ["Fixtures"], "TensorCoreTests": ["Fixtures"],
    "BNTrainCommandTests": ["Fixtures"],
]

let package = Package(
    name: "bn-train",
    products: [
        .executable(name: "bn-train", targets: ["bn-train"]),
        .library(
            name: "BNTrain",
            targets: [
                "TensorCore", "Collectives", "MPICollectives", "Kernels", "Layers",
                "Normalization", "Models", "Optimization", "Datasets", "Configuration", "Training",
                "Reports",
            ]),
    ],
    traits: [
        .trait(name: "MPI", description: "Ranks over Open MPI; without it, threads only."),
        .default(enabledTraits: ["MPI"]),
    ],
    targets: [
        // C: libraries from the system, and thin shims over what Swift cannot import.
        .systemLibrary(
            name: "COpenMPI", pkgConfig: "ompi-c", providers: [.apt(["libopenmpi-dev"])]),
        .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
        .systemLibrary(
            name: "CLAPACK", pkgConfig: "lapacke", providers: [.apt(["liblapacke-dev"])]),
        .systemLibrary(
            name: "CCrypto", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"])]),
        .target(
            name: "CMPI", dependencies: [mpi("COpenMPI")],
            cSettings: [.define("BN_WITH_MPI", .when(traits: ["MPI"]))]),
        .target(name: "CPlatform"),

        // Swift: each room beside what it may import.
        room("TensorCore"),
        room("Collectives", ["CPlatform"]),
        room("MPICollectives", ["Collectives", mpi("CMPI")]),
        room("Kernels", ["TensorCore", "CPlatform"]),
        room("Layers", ["TensorCore", "Kernels", "Collectives"]),
        room("Normalization", ["TensorCore", "Layers", "Kernels", "Collectives"]),
        room("Models", ["TensorCore", "Kernels", "Layers", "Normalization", "Collectives"]),
        room("Optimization", ["TensorCore", "Kernels"]),
        room("Datasets", ["TensorCore", "CPlatform", "CZlib", "CLAPACK"]),
        room("Configuration"),
        room(
            "Training",
            [
                "TensorCore", "Collectives", "Kernels", "Layers", "Normalization", "Models",
                "Optimization", "Datasets", "Configuration", "CCrypto",
            ]),
        room("Reports", ["TensorCore", "Configuration", "CZlib"]),
        room(
            "BNTrainCommand",
            [
                "TensorCore", "Collectives", "MPICollectives", "Kernels", "Layers", "Normalization",
                "Models", "Optimization", "Datasets", "Configuration", "Training", "Reports",
                "CPlatform",
            ]),
        .executableTarget(
            name: "bn-train", dependencies: ["BNTrainCommand"], swiftSettings: settings),

        // Tests: one target a room.
        .target(
            name: "TestSupport", dependencies: ["TensorCore", "Collectives", "MPICollectives"],
            path: "Tests/TestSupport", exclude: ["Fixtures"], swiftSettings: settings),
        .target(
            name: "KernelReferences", dependencies: ["Kernels"], path: "Tests/KernelReferences",
            swiftSettings: settings),
        .target(
            name: "FaultInjection",
            dependencies: ["TensorCore", "Collectives", "Layers", "Models", "Training"],
            path: "Tests/FaultInjection", swiftSettings: settings),
        .executableTarget(
            name: "bn-train-with-faults", dependencies: ["BNTrainCommand", "FaultInjection"],
            path: "Tests/FaultyProgram", swiftSettings: settings),
        tests("TensorCoreTests", ["TensorCore"]),
        tests("CollectivesTests", ["Collectives", "TensorCore"]),
        tests("MPICollectivesTests", ["MPICollectives", "Collectives", "TensorCore"]),
        tests("KernelsTests", ["Kernels", "KernelReferences", "TensorCore"]),
        tests("LayersTests", ["Layers", "Kernels", "KernelReferences", "TensorCore"]),
        tests(
            "NormalizationTests",
            [
                "Normalization", "Layers", "Kernels", "KernelReferences", "Collectives",
                "MPICollectives", "TensorCore",
            ]),
        tests(
            "ModelsTests",
            [
                "Models", "Normalization", "Layers", "Kernels", "KernelReferences", "Collectives",
                "MPICollectives", "TensorCore",
            ]),
        tests("OptimizationTests", ["Optimization", "Kernels", "KernelReferences", "TensorCore"]),
        tests("DatasetsTests", ["Datasets", "TensorCore", "CZlib"]),
        tests("ConfigurationTests", ["Configuration"]),
        tests(
            "TrainingTests",
            [
                "Training", "Configuration", "Datasets", "Optimization", "Models", "Normalization",
                "Layers", "Kernels", "Collectives", "TensorCore", "FaultInjection",
            ]),
        tests("ReportsTests", ["Reports", "Configuration", "CZlib"]),
        tests(
            "BNTrainCommandTests",
            [
                "BNTrainCommand", "Training", "Configuration", "Datasets", "Models", "Kernels",
                "Collectives", "MPICollectives", "Reports", "TensorCore", "FaultInjection",
            ]),
        tests("ArchitectureTests", ["Configuration"]),
    ]
)
