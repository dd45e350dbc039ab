import Foundation
import Layers
import Normalization
import TensorCore
import Testing

@testable import Models

/// torchvision's state dicts, by model; written by `Fixtures/make_state_dicts.py`.
struct StateDict {
    /// The number of parameters.
    let count: Int
    /// Names and extents in order: "conv1.weight 64 3 7 7".
    private(set) var tensors: [String] = []

    static let all: [String: StateDict] = {
        let path = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .appendingPathComponent("Fixtures/state-dicts.txt").path
        let text = (try? String(contentsOfFile: path, encoding: .utf8)) ?? ""
        var dicts: [String: StateDict] = [:]
        var model = ""
        for line in text.split(separator: "\n") {
            if line.hasPrefix("  ") {
                dicts[model]?.tensors.append(String(line.dropFirst(2)))
            } else {
                let words = line.split(separator: " ")
                model = String(words[0])
                dicts[model] = StateDict(count: Int(words[1]) ?? 0)
            }
        }
        return dicts
    }()
}

extension NetworkSpecification {
    /// Names and extents of the tensors in a file, as `StateDict.tensors`.
    fileprivate var tensors: [String] {
        layout(shards: 4).entries.flatMap { entry -> [String] in
            switch entry {
            case .parameter(let parameter):
                let extents = parameter.shape.dimensions.map { " \($0)" }.joined()
                return [parameter.name + extents]
            case .statistics(let running):
                return [
                    "\(running.name).running_mean \(running.channels)",
                    "\(running.name).running_var \(running.channels)",
                    "\(running.name).num_batches_tracked",
                ]
            }
        }
    }

    fileprivate var count: Int { layout(shards: 4).parameterCount }
}

@Suite("Networks in torchvision's form")
struct StateDictTests {
    static let large = ImageShape(height: 224, width: 224, channels: 3)
    static let small = ImageShape(height: 32, width: 32, channels: 3)

    @Test(
        "ResNet-18, 34 and 50 have torchvision's tensors, in its order",
        arguments: [ResNet.Kind.resnet18, .resnet34, .resnet50])
    func residual(kind: ResNet.Kind) throws {
        let network = try ResNet(kind, stem: .imagenet, input: Self.large, classes: 1000)
            .specification()
        let expected = try #require(StateDict.all[kind.rawValue])
        #expect(expected.tensors.count > 100)
        #expect(network.tensors == expected.tensors)
        #expect(network.count == expected.count)
    }

    @Test("so has VGG-11, with BN and without")
    func vgg() throws {
        for (name, settings) in [("vgg11_bn", BatchNormSettings()), ("vgg11", nil)] {
            let network = try VGG(
                stem: .imagenet, input: Self.large, classes: 1000, normalization: settings
            ).specification()
            let expected = try #require(StateDict.all[name])
            #expect(network.tensors == expected.tensors)
            #expect(network.count == expected.count)
        }
    }

    @Test("for CIFAR only the stem, the shortcuts and the last layer differ")
    func stem() throws {
        let torchvision = try #require(StateDict.all["resnet18"]).tensors
        let network = try ResNet(.resnet18, input: Self.small, classes: 10).specification()
        let replaced = [
            "conv1.weight 64 3 7 7": "conv1.weight 64 3 3 3",
            "fc.weight 1000 512": "fc.weight 10 512", "fc.bias 1000": "fc.bias 10",
        ]
        #expect(network.tensors == torchvision.map { replaced[$0] ?? $0 })
        let small = try ResNet(.resnet20, input: Self.small, classes: 10).specification()
        let padded = try ResNet(
            .resnet20, shortcut: .padding, input: Self.small, classes: 10
        ).specification()
        #expect(small.tensors.filter { !$0.contains("downsample") } == padded.tensors)
        #expect(small.tensors.contains("layer2.0.downsample.0.weight 32 16 1 1"))
    }

    @Test("parameters are counted as papers count them")
    func counts() throws {
        func count(
            _ kind: ResNet.Kind, _ stem: Stem = .cifar, _ shortcut: ResNet.Shortcut = .projection,
            classes: Int = 10
        ) throws -> Int {
            try ResNet(
                kind, stem: stem, shortcut: shortcut,
                input: stem == .cifar ? Self.small : Self.large, classes: classes
            ).specification().count
        }
        #expect(try count(.resnet20, .cifar, .padding) == 269_722)
        #expect(try count(.resnet20) == 272_474)
        #expect(try count(.resnet8, .cifar, .padding) == 75_290)
        #expect(try count(.resnet8) == 78_042)
        // Table 6 of the paper, option A: 0.46, 0.66, 0.85 and 1.7 million.
        #expect(try count(.resnet32, .cifar, .padding) == 464_154)
        #expect(try count(.resnet44, .cifar, .padding) == 658_586)
        #expect(try count(.resnet56, .cifar, .padding) == 853_018)
        #expect(try count(.resnet110, .cifar, .padding) == 1_727_962)
        #expect(try count(.resnet18, .imagenet, classes: 1000) == 11_689_512)
        #expect(try count(.resnet18) == 11_173_962)
        #expect(try count(.resnet34, .imagenet, classes: 1000) == 21_797_672)
        #expect(try count(.resnet50, .imagenet, classes: 1000) == 25_557_032)
        let vgg = try VGG(stem: .imagenet, input: Self.large, classes: 1000).specification()
        #expect(vgg.count == 132_868_840)
        let lenet = try LeNet(input: Self.small, classes: 10).specification()
        #expect(lenet.count == 62_006 - 120 - 84 + 2 * (120 + 84))
        #expect(
            try LeNet(input: Self.small, classes: 10, normalization: nil).specification().count
                == 62_006)
    }

    @Test("LeNet and the network of one convolution have the names that files are promised")
    func names() throws {
        let lenet = try LeNet(input: Self.small, classes: 10).specification()
        #expect(
            lenet.tensors.filter { !$0.contains("running") && !$0.contains("tracked") } == [
                "conv1.weight 6 3 5 5", "conv1.bias 6", "conv2.weight 16 6 5 5", "conv2.bias 16",
                "fc1.weight 120 400", "bn1.weight 120", "bn1.bias 120", "fc2.weight 84 120",
                "bn2.weight 84", "bn2.bias 84", "fc3.weight 10 84", "fc3.bias 10",
            ])
        let digits = ImageShape(height: 28, width: 28, channels: 1)
        let one = try OneConvolution(input: digits, classes: 10).specification()
        #expect(
            one.tensors == [
                "conv1.weight 32 1 3 3", "conv1.bias 32", "fc.weight 10 5408", "bn.weight 10",
                "bn.bias 10", "bn.running_mean 10", "bn.running_var 10", "bn.num_batches_tracked",
            ])
        #expect(one.outputKind == .logits)
        // Behind the softmax the product before it keeps its bias; without BN there is no behind.
        let behind = try OneConvolution(input: digits, classes: 10, placement: .after)
            .specification()
        #expect(
            behind.tensors.prefix(5) == [
                "conv1.weight 32 1 3 3", "conv1.bias 32", "fc.weight 10 5408", "fc.bias 10",
                "bn.weight 10",
            ])
        #expect(behind.outputKind == .proportions)
        let none = try OneConvolution(
            input: digits, classes: 10, placement: .after, normalization: nil
        ).specification()
        let before = try OneConvolution(input: digits, classes: 10, normalization: nil)
            .specification()
        #expect(none == before)
    }
}

@Suite("Initial weights of networks for images")
struct InitialWeightTests {
    private func replica(_ network: ResNet, seed: UInt64 = 3) throws -> Replica {
        let specification = try network.specification()
        let replica = Replica(specification.layout(shards: 4))
        replica.initialize(.he(gain: 1), seed: seed)
        return replica
    }

    private func weights(_ replica: Replica) -> [String: [Float]] {
        Dictionary(
            uniqueKeysWithValues: replica.layout.parameters.filter(\.decays).map {
                ($0.name, replica.values(of: $0))
            })
    }

    @Test("the same seed gives the same weights with and without BN", arguments: [3, 4])
    func sameWeights(seed: UInt64) throws {
        let image = StateDictTests.small
        for shortcut in ResNet.Shortcut.allCases {
            let with = weights(
                try replica(
                    ResNet(.resnet20, shortcut: shortcut, input: image, classes: 10), seed: seed))
            let without = weights(
                try replica(
                    ResNet(
                        .resnet20, shortcut: shortcut, input: image, classes: 10,
                        normalization: nil), seed: seed))
            #expect(with.count == (shortcut == .padding ? 20 : 22))
            #expect(with == without)
            #expect(Set(with.values.map { $0[0] }).count == with.count)
        }
    }

    @Test("He's deviation is √(2 / (C·R·S)), in the layout of files")
    func deviations() throws {
        let replica = try replica(
            ResNet(.resnet20, input: StateDictTests.small, classes: 10))
        for (name, fan) in [
            ("conv1.weight", 27), ("layer1.0.conv1.weight", 144), ("layer3.1.conv2.weight", 576),
            ("layer3.0.downsample.0.weight", 32),
        ] {
            let values = try #require(weights(replica)[name]).map(Double.init)
            let variance = values.reduce(0) { $0 + $1 * $1 } / Double(values.count)
            let expected = 2 / Double(fan)
            // Five deviations of a sample variance.
            let tolerance = 5 * expected * (2 / Double(values.count)).squareRoot()
            #expect(abs(variance - expected) < tolerance, "\(name)")
        }
    }

    @Test("zeroInitialBlocks starts γ of each block's last BN at 0, and no other")
    func zeroBlocks() throws {
        for (kind, last, blocks) in [(ResNet.Kind.resnet20, "bn2", 9), (.resnet50, "bn3", 16)] {
            let network = try ResNet(
                kind, zeroInitializesBlocks: true, input: StateDictTests.small, classes: 10
            ).specification()
            let scales = network.layout(shards: 4).parameters.filter { $0.role == .scale }
            let zero = Set(scales.filter { $0.start == 0 }.map(\.name))
            #expect(zero.count == blocks)
            #expect(zero.allSatisfy { $0.hasSuffix(".\(last).weight") })
            guard kind == .resnet20 else { continue }
            let replica = Replica(network.layout(shards: 4))
            replica.initialize(.he(gain: 1), seed: 3)
            for parameter in replica.layout.parameters where parameter.role == .scale {
                let start: Float = zero.contains(parameter.name) ? 0 : 1
                #expect(replica.values(of: parameter).allSatisfy { $0 == start })
            }
        }
        let plain = ResNet(.resnet20, input: StateDictTests.small, classes: 10)
        let scales = try plain.specification().layout(shards: 4).parameters.filter {
            $0.role == .scale
        }
        #expect(scales.allSatisfy { $0.start == 1 })
    }
}
