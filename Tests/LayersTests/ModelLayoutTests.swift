import TensorCore
import TestSupport
import Testing

@testable import Layers

@Suite("ModelLayout and Replica")
struct ModelLayoutTests {
    /// A product, a normalisation over the whole batch, a product; nothing a multiple of 16.
    static let layout = ModelLayout([
        .parameter(
            name: "layers.0.weight", shape: [5, 3], role: .weight, isReduced: true),
        .parameter(name: "layers.1.weight", shape: [5], role: .scale, isReduced: false),
        .parameter(name: "layers.1.bias", shape: [5], role: .shift, isReduced: false),
        .statistics(name: "layers.1", channels: 5),
        .parameter(
            name: "layers.3.weight", shape: [17, 5], role: .weight, isReduced: true),
        .parameter(name: "layers.3.bias", shape: [17], role: .bias, isReduced: true),
    ])

    @Test("entries keep the order and names of their declarations")
    func order() {
        let names = Self.layout.entries.map { entry in
            switch entry {
            case .parameter(let parameter): parameter.name
            case .statistics(let statistics): "\(statistics.name) statistics"
            }
        }
        #expect(
            names == [
                "layers.0.weight", "layers.1.weight", "layers.1.bias", "layers.1 statistics",
                "layers.3.weight", "layers.3.bias",
            ])
        #expect(Self.layout.parameter("layers.3.bias")?.shape == [17])
        #expect(Self.layout.parameter("layers.2.bias") == nil)
        #expect(Self.layout.parameterCount == 15 + 5 + 5 + 85 + 17)
    }

    @Test("every tensor starts at a cache line, none overlap, all fit")
    func alignment() {
        let layout = Self.layout
        #expect(layout.parameters.allSatisfy { $0.range.lowerBound % 16 == 0 })
        #expect(layout.parameters.allSatisfy { $0.range.count == $0.shape.count })
        let ranges = layout.parameters.map(\.range).sorted { $0.lowerBound < $1.lowerBound }
        #expect(
            zip(ranges, ranges.dropFirst()).allSatisfy { $0.upperBound <= $1.lowerBound })
        #expect(ranges.allSatisfy { $0.upperBound <= layout.length })
        #expect(layout.length == 16 + 96 + 32 + 16 + 16)
        let running = layout.statistics[0]
        #expect(running.mean.lowerBound % 16 == 0 && running.variance.lowerBound % 16 == 0)
        #expect(!running.mean.overlaps(running.variance))
        #expect(running.variance.upperBound <= layout.statisticsLength)
    }

    @Test("what is summed over the tree comes first, and of that what teams sum up together")
    func regions() {
        for isReduced in [true, false] {
            let layout = ModelLayout([
                .parameter(
                    name: "bn.weight", shape: [5], role: .scale, isReduced: isReduced),
                .parameter(
                    name: "product.weight", shape: [5, 3], role: .weight,
                    isReduced: true),
                .parameter(
                    name: "product.bias", shape: [5], role: .bias, isReduced: true),
                .parameter(name: "bn.bias", shape: [5], role: .shift, isReduced: isReduced),
            ])
            #expect(layout.products == 32)
            #expect(layout.reduced == (isReduced ? 64 : 32))
            #expect(layout.length == 64)
            for parameter in layout.parameters {
                let isOfProduct = parameter.name.hasPrefix("product")
                #expect((parameter.range.upperBound <= layout.products) == isOfProduct)
                #expect(
                    (parameter.range.upperBound <= layout.reduced) == (isOfProduct || isReduced))
                #expect(
                    (parameter.range.lowerBound >= layout.reduced) == !(isOfProduct || isReduced))
            }
        }
    }

    @Test("weights alone decay, and matrices alone lie transposed")
    func roles() {
        for parameter in Self.layout.parameters {
            let isProduct = parameter.shape.dimensions.count == 2
            #expect(parameter.decays == isProduct)
            #expect(parameter.storage == (isProduct ? .transposed(positions: 1) : .plain))
        }
    }

    @Test("a replica starts with γ and running variances 1, and everything else 0")
    func start() {
        let replica = Replica(Self.layout)
        for parameter in Self.layout.parameters {
            let expected: Float = parameter.role == .scale ? 1 : 0
            #expect(replica.values(of: parameter).allSatisfy { $0 == expected })
            #expect(replica.gradient(of: parameter).allSatisfy { $0 == 0 })
        }
        let running = Self.layout.statistics[0]
        #expect(running.mean.allSatisfy { replica.statistics[$0] == 0 })
        #expect(running.variance.allSatisfy { replica.statistics[$0] == 1 })
        #expect(replica.batchesTracked.allSatisfy { $0 == 0 })
        #expect(replica.byteCount == 4 * (2 * 176 + 32))
        #expect(Int(bitPattern: replica.parameters) % 64 == 0)
    }

    @Test("values come back in the layout of files, and lie transposed in memory")
    func transposition() throws {
        let replica = Replica(Self.layout)
        for (index, parameter) in Self.layout.parameters.enumerated() {
            replica.setValues(normals(parameter.range.count, index: UInt64(index)), of: parameter)
        }
        for (index, parameter) in Self.layout.parameters.enumerated() {
            let values = normals(parameter.range.count, index: UInt64(index))
            #expect(replica.values(of: parameter) == values)
            #expect(replica.inFileLayout(parameter, from: replica.parameters) == values)
        }
        let weight = try #require(Self.layout.parameter("layers.3.weight"))
        let values = replica.values(of: weight)
        for output in 0..<17 {
            for input in 0..<5 {
                let place = weight.range.lowerBound + input * 17 + output
                #expect(replica.parameters[place] == values[output * 5 + input])
            }
        }
    }

    @Test("initialisation fills the weights by ordinal and leaves the rest alone")
    func initialize() {
        let replica = Replica(Self.layout)
        let initialization = Initialization.he(gain: 1)
        replica.initialize(initialization, seed: 9)
        for parameter in Self.layout.parameters {
            let expected: [Float]
            switch parameter.role {
            case .weight:
                expected = initialization.values(
                    shape: parameter.shape, seed: 9, ordinal: parameter.ordinal)
            case .scale: expected = Array(repeating: 1, count: parameter.range.count)
            case .bias, .shift, .other: expected = Array(repeating: 0, count: parameter.range.count)
            }
            #expect(replica.values(of: parameter) == expected)
        }
    }
}
