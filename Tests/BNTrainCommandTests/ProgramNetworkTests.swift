import TestSupport
import Testing
import Training

/// A command line, and what it is told.
private struct NetworkRefusal: CustomTestStringConvertible, Sendable {
    let words: [String]
    let message: String

    init(_ settings: String..., message: String) {
        words = settings.flatMap { ["--set", $0] }
        self.message = message
    }

    var testDescription: String { words.joined(separator: " ") }
}

private let residual =
    #""resnet8", "resnet20", "resnet32", "resnet44", "resnet56", "resnet110", "resnet18", "resnet34" or "resnet50""#

private let refusals = [
    // Images too small for the network, by the layer that they do not reach.
    NetworkRefusal(
        "model.name=vgg11", "data.samples=100",
        message: "vgg11 needs larger images: of 28×28×1 only 1×1×512 reach features.28, less than "
            + "its window; choose another model.name or data set"),
    NetworkRefusal(
        "data.name=idx", "data.directory=digits", "model.name=lenet",
        message: "lenet needs larger images: of 6×5×1 only 2×1×6 reach pool1, less than its "
            + "window; choose another model.name or data set"),

    // Normalisations that cannot be.
    NetworkRefusal(
        "model.normalization.kind=instance",
        message: "layers.1 has one value in each of its 128 groups of a sample, and would give its "
            + "shift whatever that is: instance normalisation needs images (H·W > 1), group "
            + "normalisation fewer groups; set model.normalization.kind to \"layer\" or \"batch\""),
    NetworkRefusal(
        "model.normalization={kind: 'group', groups: 12}", "model.hidden=[24, 18]",
        message: "layers.4 has 18 channels, which do not divide into 12 groups; set "
            + "model.normalization.groups to 6"),

    // Keys of another network, or normalisation.
    NetworkRefusal(
        "model.normalization.groups=4",
        message: """
            --set: model.normalization.groups has no effect here: remove it, or set \
            model.normalization.kind to "group"
                --set model.normalization.groups=4
                                                 ^
            """),
    NetworkRefusal(
        "model.name=lenet", "model.hidden=[8]",
        message: """
            --set: model.hidden has no effect here: remove it, or set model.name to "mlp"
                --set model.hidden=[8]
                                   ^
            """),
    NetworkRefusal(
        "model.name=resnet20", "model.stem=imagenet",
        message: """
            --set: model.stem has no effect here: remove it, or set model.name to "vgg11", \
            "resnet18", "resnet34" or "resnet50"
                --set model.stem=imagenet
                                 ^
            """),
    NetworkRefusal(
        "model.name=vgg11", "model.shortcut=A",
        message: """
            --set: model.shortcut has no effect here: remove it, or set model.name to \(residual)
                --set model.shortcut=A
                                     ^
            """),
    NetworkRefusal(
        "model.name=lenet", "model.zeroInitialBlocks=true",
        message: """
            --set: model.zeroInitialBlocks has no effect here: remove it, or set model.name to \
            \(residual)
                --set model.zeroInitialBlocks=true
                                              ^
            """),

    // Values.
    NetworkRefusal(
        "model.name=mnist-cnn", "model.placement=inputs",
        message: """
            --set: model.placement: expected "before" or "after" (the softmax) with model.name \
            "mnist-cnn", found the string "inputs"
                --set model.placement=inputs
                                      ^
            """),
    NetworkRefusal(
        "model.name=mnist-cnn", "model.placement=after", "model.normalization.kind=layer",
        message: """
            --set: model.normalization.kind: expected "batch" or "none" with \
            model.placement "after" (what is normalised within a sample sums to 0, and this loss \
            divides by the sum), found the string "layer"
                --set model.normalization.kind=layer
                                               ^
            """),
    NetworkRefusal(
        "model.name=lenet", "model.dropout=1",
        message: """
            --set: model.dropout: expected a number of at least 0 and below 1, found 1
                --set model.dropout=1
                                    ^
            """),
    NetworkRefusal(
        "model.dropout=-0.1",
        message: """
            --set: model.dropout: expected a number of at least 0 and below 1, found -0.1
                --set model.dropout=-0.1
                                    ^
            """),
    NetworkRefusal(
        "model.name=resnet19",
        message: """
            --set: model.name: unknown name "resnet19"; choose "resnet18", "resnet8", "resnet20", \
            "resnet32", "resnet44", "resnet56", "resnet110", "resnet34", "resnet50", "lenet", \
            "vgg11", "mlp" or "mnist-cnn"
                --set model.name=resnet19
                                 ^
            """),
    NetworkRefusal(
        "model.name=resnet20", "model.shortcut=B",
        message: """
            --set: model.shortcut: unknown name "B"; choose "A" or "projection"
                --set model.shortcut=B
                                     ^
            """),
    NetworkRefusal(
        "model.name=resnet50", "model.stem=small",
        message: """
            --set: model.stem: unknown name "small"; choose "cifar" or "imagenet"
                --set model.stem=small
                                 ^
            """),
]

extension ProgramTests {
    @Suite("Networks for images, by the built program")
    struct Networks {
        @Test("what does not fit is refused with the whole message", arguments: refusals)
        fileprivate func refused(_ refusal: NetworkRefusal) throws {
            let place = try Workplace()
            try place.makeData(in: "digits")
            try place.run(["train"] + refusal.words).expect(64, refusal.message)
            #expect(try place.names(in: ".") == ["digits"])
        }

        /// LeNet with dropout and augmentation; the last batch of an epoch has 11 samples.
        private static let lenet = [
            "--set", "model.name=lenet", "--set", "model.dropout=0.25", "--set",
            "data.augment=[{kind: \"padCrop\", padding: 2}, \"flip\"]", "--set",
            "data.samples=107", "--set", "data.testSamples=20", "--set", "batch.size=24", "--set",
            "batch.shards=8", "--set", "steps=12", "--set", "optimizer.learningRate=0.05",
            "--quiet", "--json",
        ]

        private func digest(
            ranks: Int, threads: Int, _ more: [String] = [], in place: Workplace
        ) throws -> String {
            let words = Self.lenet + more + ["--threads", "\(threads)"]
            let result = try ranks > 1 ? place.run(ranks: ranks, words) : place.run(words)
            result.expectSuccess()
            return try #require(try result.lastObject()["parameters_digest"]?.string)
        }

        @Test("LeNet ends in one digest over threads, and over ranks of Open MPI")
        func sameBits() throws {
            let place = try Workplace()
            let alone = try digest(ranks: 1, threads: 1, in: place)
            for (ranks, threads) in [(1, 3), (1, 8), (2, 1), (3, 1), (2, 2)] {
                let other = try digest(ranks: ranks, threads: threads, in: place)
                #expect(other == alone, "\(ranks)×\(threads)")
            }
        }

        @Test("the test bites: sums without the tree move with the world")
        func bites() throws {
            let place = try Workplace()
            let digests = try [1, 3, 7].map {
                try digest(ranks: 1, threads: $0, ["--set", "collectives=mpi"], in: place)
            }
            #expect(Set(digests).count > 1)
        }
    }
}
