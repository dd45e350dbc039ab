import Foundation
import Layers
import Models
import TensorCore
import TestSupport
import Testing

@testable import Training

@Suite("State dicts of torchvision")
struct TorchvisionFileTests {
    /// The tensors of torchvision's ResNet-18 with 1000 classes, as its state dict orders them.
    private func stateDict() throws -> [SafetensorsFile.Content] {
        let path = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent().appendingPathComponent(
                "ModelsTests/Fixtures/state-dicts.txt"
            ).path
        let lines = try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n")
        let start = try #require(lines.firstIndex { $0.hasPrefix("resnet18 ") })
        return lines[(start + 1)...].prefix { $0.hasPrefix("  ") }.enumerated().map {
            number, line in
            let words = line.split(separator: " ")
            let (name, shape) = (String(words[0]), words.dropFirst().compactMap { Int($0) })
            if name.hasSuffix("num_batches_tracked") {
                return .init(name: name, shape: shape, integers: [42])
            }
            let values = formula(shape.reduce(1, *), key: number)
            return .init(name: name, shape: shape, values.map { Float($0) })
        }
    }

    private func network() throws -> NetworkSpecification {
        try ResNet(
            .resnet18, stem: .imagenet,
            input: ImageShape(height: 224, width: 224, channels: 3), classes: 1000
        ).specification()
    }

    @Test("a file of torchvision's ResNet-18 loads, in its order or sorted by name")
    func loads() throws {
        let specification = try network()
        let contents = try stateDict()
        #expect(contents.count == 122)
        for tensors in [contents, contents.sorted { $0.name < $1.name }] {
            let file = try SafetensorsFile(
                bytes: SafetensorsFile(tensors).serialized, path: "resnet18.safetensors")
            let replica = Replica(specification.layout(shards: 4))
            try replica.load(file)
            #expect(replica.batchesTracked.allSatisfy { $0 == 42 })
            // Read back, every tensor is where it was, converted there and back.
            for (own, given) in zip(replica.fileContents, contents) {
                #expect(own.name == given.name && own.shape == given.shape)
                if case .float32(let a) = own.values, case .float32(let b) = given.values {
                    #expect(a == b, "\(own.name)")
                }
            }
        }
    }

    @Test("one tensor of another shape is refused, and the replica stays as it was")
    func refuses() throws {
        let specification = try network()
        var contents = try stateDict()
        let last = try #require(contents.lastIndex { $0.name == "fc.weight" })
        contents[last] = .init(
            name: "fc.weight", shape: [10, 512], Array(repeating: 1, count: 5120))
        let replica = Replica(specification.layout(shards: 4))
        let first = replica.layout.parameters[0]
        do {
            try replica.load(SafetensorsFile(contents, path: "other.safetensors"))
            Issue.record("it was taken")
        } catch {
            #expect(
                "\(error)".contains("fc.weight") && "\(error)".contains("[10, 512]"), "\(error)")
        }
        #expect(replica.values(of: first).allSatisfy { $0 == 0 })
    }
}
