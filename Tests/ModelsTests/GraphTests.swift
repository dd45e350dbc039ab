import Kernels
import Layers
import Models
import Normalization
import TensorCore
import TestSupport
import Testing

@Suite("Layers and graphs against Float64, in every world")
struct GraphTests {
    /// Uneven shards, one sample a shard, and empty ones between others.
    static let batches = [(7, 4), (4, 4), (3, 6)]

    private func expectReference(
        _ specification: NetworkSpecification, isFirst: Bool = false,
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        for (samples, shards) in Self.batches {
            var pass = PassCase(specification, samples: samples, shards: shards)
            pass.needsInputGradient = !isFirst
            let alone = try pass.run()
            let differences = pass.differences(alone)
            // Reached: 2e-6 by outputs, 9e-6 by gradients, whose terms cancel.
            #expect(differences.output < 5e-6, sourceLocation: sourceLocation)
            #expect(differences.input < 2e-5, sourceLocation: sourceLocation)
            #expect(
                differences.worst.value < 2e-5, "\(differences.worst.name)",
                sourceLocation: sourceLocation)
            #expect(
                alone.gradients.count == specification.layout(shards: shards).parameters.count)
            for (ranks, threads) in [(1, 3), (1, 4), (2, 1), (3, 1), (2, 2)] {
                let isEqual = try pass.run(ranks: ranks, threads: threads).hasBits(of: alone)
                #expect(
                    isEqual, "\(ranks)×\(threads), \(samples) on \(shards)",
                    sourceLocation: sourceLocation)
            }
        }
    }

    @Test("convolutions of any geometry", arguments: OwnNetworks.convolutions)
    func convolutions(shape: ConvolutionShape) throws {
        for bias in [true, false] {
            try expectReference(OwnNetworks.convolution(shape, bias: bias))
        }
    }

    @Test(
        "pools, shortcuts, dropout, residual blocks, norms in any place",
        arguments: OwnNetworks.names)
    func graphs(name: String) throws {
        let specification = try OwnNetworks.named(name)
        try expectReference(specification, isFirst: name.hasPrefix("first"))
        // A first BN can give dx, too; a first product has no plan for it.
        if name.hasPrefix("first a") && name.hasSuffix("norm") {
            try expectReference(specification)
        }
    }

    @Test("the readable network's gradients are central differences", arguments: OwnNetworks.names)
    func centralDifferencesAgree(name: String) throws {
        let pass = PassCase(try OwnNetworks.named(name), samples: 3, shards: 4)
        var reference = pass.makeReference()
        let input = doubles(pass.input)
        let dy = doubles(pass.outputGradient)
        let gradients = reference.backward(reference.forward(input), dy)
        // Max pooling has kinks, but none within a step of these values.
        func loss(_ network: ReferenceNetwork, _ input: [Double]) -> Double {
            zip(network.forward(input).last ?? [], dy).reduce(0) { $0 + $1.0 * $1.1 }
        }
        func check(_ what: String, _ gradient: [Double], _ change: (Int, Double) -> Double) {
            let scale = gradient.map(abs).max() ?? 0
            // A few values of each tensor, spread over it.
            for index in stride(from: 0, to: gradient.count, by: max(1, gradient.count / 5)) {
                let difference = (change(index, 1e-5) - change(index, -1e-5)) / 2e-5
                #expect(
                    abs(difference - gradient[index]) < 1e-6 * max(scale, 1),
                    "\(what)[\(index)]")
            }
        }
        check("input", gradients.input) { index, step in
            var moved = input
            moved[index] += step
            return loss(reference, moved)
        }
        for (name, gradient) in gradients.parameters {
            let values = try #require(reference.parameters[name])
            check(name, gradient) { index, step in
                reference.parameters[name]?[index] += step
                defer { reference.parameters[name] = values }
                return loss(reference, input)
            }
        }
    }

    @Test("LeNet and residual networks in scopes global, group and shard")
    func networks() throws {
        for scope in [StatisticsScope.global, .group(2), .shard] {
            let settings = BatchNormSettings(scope: scope)
            let small = ImageShape(height: 6, width: 5, channels: 3)
            for specification in [
                try LeNet(
                    input: ImageShape(height: 17, width: 16, channels: 2), classes: 5,
                    normalization: settings, dropout: 0.25
                ).specification(),
                try ResNet(.resnet20, input: small, classes: 5, normalization: settings)
                    .specification(),
                try ResNet(
                    .resnet20, shortcut: .padding, input: small, classes: 5,
                    normalization: settings
                ).specification(),
            ] {
                // Dense values of two or three samples would compare rounding with rounding.
                let samples = specification.name == "lenet" ? 27 : 11
                var pass = PassCase(specification, samples: samples, shards: 4)
                pass.needsInputGradient = false
                let alone = try pass.run()
                let differences = pass.differences(alone)
                #expect(differences.output < 1e-5, "\(specification.name), \(scope)")
                #expect(
                    differences.worst.value < 1e-4, "\(specification.name), \(differences.worst)")
                for (ranks, threads) in [(1, 3), (2, 2)] {
                    #expect(
                        try pass.run(ranks: ranks, threads: threads).hasBits(of: alone),
                        "\(specification.name), \(ranks)×\(threads), \(scope)")
                }
            }
        }
    }

    @Test("gradients of values share memory, and nothing is overwritten")
    func sharedBuffers() throws {
        for (shortcut, settings, isGroupNorm) in [
            (ResNet.Shortcut.projection, BatchNormSettings(), false),
            (.padding, BatchNormSettings(), false), (.padding, nil, false),
            (.projection, nil, false), (.projection, BatchNormSettings(), true),
            (.padding, BatchNormSettings(), true),
        ] as [(ResNet.Shortcut, BatchNormSettings?, Bool)] {
            var specification = try ResNet(
                .resnet32, shortcut: shortcut,
                input: ImageShape(height: 4, width: 4, channels: 3), classes: 4,
                normalization: settings
            ).specification()
            if isGroupNorm {
                specification = try specification.normalizingSamples(
                    GroupNormSettings(.groups(4)))
            }
            var pass = PassCase(specification, samples: 6, shards: 3)
            pass.needsInputGradient = false
            let result = try pass.run()
            #expect(result.gradientBytes > 0)
            // Memory is free again at the next meeting, or soon where there is none.
            #expect(result.gradientBytes * 5 < result.valueBytes)
            #expect(pass.differences(result).worst.value < 1e-4, "\(shortcut)")
        }
    }

    @Test("a shard's images come in blocks that depend on the network alone")
    func blocks() throws {
        let shape = BatchShape(
            index: 0, samples: 40, shardRows: [0..<5, 5..<5, 5..<11, 11..<13], trains: true)
        let blocks = shape.blocks(of: 3)
        #expect(blocks.map(\.rows) == [0..<3, 3..<5, 5..<5, 5..<8, 8..<11, 11..<13])
        #expect(blocks.map(\.shards.lowerBound) == [0, 0, 1, 2, 2, 3])
        #expect(blocks.allSatisfy { $0.shards.count == 1 })

        // 32×32×16 values: 4 images a block, shards of 5 and 6.
        let specification = try OwnNetworks.network(
            "blocks", ImageShape(height: 32, width: 32, channels: 3)
        ) {
            try $0.convolution("conv1", channels: 16, kernel: 3, padding: 1)
            try $0.batchNorm("bn1")
            try $0.activation("relu1")
            let first = $0.value
            try $0.convolution("conv2", channels: 16, kernel: 3, padding: 1)
            try $0.batchNorm("bn2")
            try $0.activation("relu2", adding: first)
            try $0.add("pool", MaxPool(2))
            try $0.add("average", GlobalAveragePool())
            try $0.linear("fc", outputs: 5, bias: true)
        }
        let pass = PassCase(specification, samples: 22, shards: 4)
        let alone = try pass.run()
        let differences = pass.differences(alone)
        #expect(differences.output < 1e-5)
        #expect(differences.worst.value < 1e-4, "\(differences.worst.name)")
        for (ranks, threads) in testWorlds where ranks * threads <= 4 {
            let isEqual = try pass.run(ranks: ranks, threads: threads).hasBits(of: alone)
            #expect(isEqual, "\(ranks)×\(threads)")
        }
    }
}
