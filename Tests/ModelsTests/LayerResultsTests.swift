import Kernels
import Models
import TestSupport
import Testing

/// Layers for images against PyTorch's Float64, of 7 samples; see `make_network_fixtures.py`.
/// PyTorch's own Float32 is within 8e-7 of it.
@Suite("Layers for images against PyTorch")
struct LayerResultsTests {
    static let results = TensorSummaries.read("layers").merging(
        TensorSummaries.read("norms")
    ) { first, _ in first }

    private func network(_ name: String) throws -> NetworkSpecification {
        let words = name.split(separator: "-")
        guard words[0] == "convolution", let number = Int(words[1]) else {
            return try OwnNetworks.named(name)
        }
        return try OwnNetworks.convolution(
            OwnNetworks.convolutions[number], bias: name.hasSuffix("-bias"))
    }

    @Test(
        "outputs, gradients and running statistics are PyTorch's, in every world",
        arguments: results.keys.sorted())
    func agreesWithPyTorch(name: String) throws {
        let results = try #require(Self.results[name])
        let specification = try network(name)
        for shards in [1, 3, 9] {
            let pass = PassCase(specification, samples: 7, shards: shards, key: results.key)
            for (ranks, threads) in [(1, 1), (1, 3), (2, 1)] where ranks * threads <= shards {
                let run = try pass.run(ranks: ranks, threads: threads)
                #expect(Set(run.gradients.keys.map(renamed)) == results.names(under: "gradient"))
                #expect(Set(run.running[0].keys) == results.names(under: "after"))
                var reached = [
                    "output": results.difference("output", doubles(run.output)),
                    "dx": results.difference("inputGradient", doubles(run.inputGradient)),
                ]
                for (name, values) in run.gradients {
                    reached[name] = results.difference(
                        "gradient.\(renamed(name))", doubles(values))
                }
                for (name, values) in run.running[0] {
                    reached[name] = results.difference("after.\(name)", doubles(values))
                }
                let worst = reached.max { $0.value < $1.value }
                // Reached: 1e-6.
                #expect((worst?.value ?? 1) < 3e-6, "\(worst?.key ?? ""), \(ranks)×\(threads)")
            }
        }
    }

    /// nn.Sequential counts its modules.
    private func renamed(_ name: String) -> String {
        name.hasPrefix("conv.") ? "0." + name.dropFirst(5) : name
    }

    @Test("there are results of every kind of layer")
    func complete() {
        #expect(Self.results.count == 8 + 11 + 2 * OwnNetworks.convolutions.count)
        #expect(Self.results.values.allSatisfy { $0.conditioning < 2e-6 })
    }
}
