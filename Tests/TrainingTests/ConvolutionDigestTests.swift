import Collectives
import Configuration
import Datasets
import TensorCore
import TestSupport
import Testing

@testable import Training

/// Short runs of networks for images with dropout and augmentation, over every world that fits.
enum ImageRun {
    /// Batches of 20 that end in one of 17, or, where all share statistics, one of 5: fewer than
    /// shards.
    static func plan(
        _ model: String, scope: String, shards: Int = 8, more: [String] = []
    ) throws -> RunPlan {
        let samples = scope == "\"global\"" ? 45 : 57
        let configuration = try RunConfiguration.load(
            file: nil,
            settings: [
                "model.name=\(model)", "model.dropout=0.3",
                "model.normalization.scope=\(scope)", "data.validation=0", "batch.size=20",
                "batch.shards=\(shards)", "epochs=2", "optimizer.learningRate=0.1",
                "optimizer.momentum=0.9", "optimizer.weightDecay=5e-4",
                "data.augment=[{kind: \"padCrop\", padding: 2}, \"flip\", "
                    + "{kind: \"cutout\", size: 4}]",
            ] + more)
        func dataset(_ count: Int, _ index: UInt64) throws -> Dataset {
            let random = CounterRandom(seed: 5, purpose: .benchmark, index: index)
            return try Dataset(
                name: "random", height: 16, width: 17, channels: 3, classes: 10,
                images: (0..<count * 16 * 17 * 3).map { UInt8(random.integer(below: 256, at: $0)) },
                labels: (0..<count).map { UInt8($0 % 10) }, source: "random")
        }
        return try RunPlan(
            configuration, data: DatasetPair(training: dataset(samples, 0), test: dataset(9, 1)))
    }

    /// Ranks and threads; the last ones have more threads than shards.
    static let worlds = [
        (1, 2), (1, 3), (1, 4), (1, 7), (1, 8), (2, 1), (3, 1), (5, 1), (2, 2), (2, 3), (1, 11),
        (1, 16), (3, 4),
    ]
}

@Suite("The same bits of networks for images in any world", .serialized)
struct ConvolutionDigestTests {
    @Test(
        "one digest over threads, ranks and both, with dropout and augmentation",
        arguments: ["lenet", "resnet20"], ["\"global\"", "\"shard\"", "{group: 2}"])
    func sameBits(model: String, scope: String) throws {
        let plan = try ImageRun.plan(model, scope: scope)
        let alone = try SmallRun.digests(plan, ranks: 1, threads: 1)[0]
        for (ranks, threads) in ImageRun.worlds {
            for digest in try SmallRun.digests(plan, ranks: ranks, threads: threads) {
                #expect(digest == alone, "\(ranks)×\(threads)")
            }
        }
        // Dropout and augmentation are in these bits.
        for without in ["model.dropout=0", "data.augment=[]"] {
            let other = try ImageRun.plan(model, scope: scope, more: [without])
            #expect(try SmallRun.digests(other, ranks: 1, threads: 2)[0] != alone)
        }
    }

    @Test(
        "one digest for the other networks, too",
        arguments: [
            ["resnet20", "model.shortcut=A", "model.zeroInitialBlocks=true"], ["mnist-cnn"],
            ["resnet20", "optimizer.name=lars", "optimizer.clipNorm=1"],
            ["lenet", "freeze=[\"conv1\", \"bn1\"]"],
            ["mnist-cnn", "model.placement=after", "optimizer.learningRate=0.001"],
            ["resnet20", "model.normalization.kind=none"],
            ["resnet20", "model.normalization.kind=group", "model.shortcut=A"],
            ["resnet20", "model.normalization.kind=instance"],
            ["resnet20", TrainingTests.noise], ["mnist-cnn", TrainingTests.noise],
            ["lenet", "model.normalization.kind=layer"],
            ["lenet", "model.normalization={kind: \"group\", groups: 6, affine: false}"],
        ])
    func others(settings: [String]) throws {
        let plan = try ImageRun.plan(
            settings[0], scope: "\"global\"", shards: 5, more: Array(settings.dropFirst()))
        let alone = try SmallRun.digests(plan, ranks: 1, threads: 1)[0]
        for (ranks, threads) in [(1, 3), (1, 5), (2, 2), (3, 1), (1, 8), (2, 5)] {
            for digest in try SmallRun.digests(plan, ranks: ranks, threads: threads) {
                #expect(digest == alone, "\(ranks)×\(threads)")
            }
        }
    }

    @Test(
        "one digest with one shard and any number of threads",
        arguments: [
            ["lenet"], ["mnist-cnn"], ["resnet20"], ["resnet20", "model.shortcut=A"],
            [
                "resnet20", "model.normalization.kind=none", "optimizer.name=adam",
                "optimizer.momentum=null",
            ],
        ])
    func oneShard(settings: [String]) throws {
        let plan = try ImageRun.plan(
            settings[0], scope: "\"global\"", shards: 1, more: Array(settings.dropFirst()))
        let alone = try SmallRun.digests(plan, ranks: 1, threads: 1)[0]
        for threads in [2, 3, 5] {
            #expect(try SmallRun.digests(plan, ranks: 1, threads: threads) == [alone], "\(threads)")
        }
    }

    @Test(
        "the test bites: the order of a team's or MPI_Allreduce's sums moves with the world",
        arguments: ["lenet", "resnet20"])
    func bites(model: String) throws {
        let plan = try ImageRun.plan(model, scope: "\"global\"")
        let digests = try [(1, 1), (1, 3), (3, 1)].map {
            try SmallRun.digests(plan, ranks: $0.0, threads: $0.1, arithmetic: .mpi)[0]
        }
        #expect(digests[1] != digests[0] && digests[2] != digests[0])
    }
}
