import Layers
import TestSupport
import Testing

@testable import Training

/// Files of other programs, byte by byte: our own writer knows fewer types.
private struct ForeignFile {
    struct Tensor {
        var name: String
        let type: String
        let shape: [Int]
        let bytes: [UInt8]

        init<Value: BitwiseCopyable>(
            _ name: String, _ type: String, _ shape: [Int], _ values: [Value]
        ) {
            self.name = name
            self.type = type
            self.shape = shape
            bytes = values.withUnsafeBytes { Array($0) }
        }
    }

    var tensors: [Tensor]
    var metadata: [String: String] = [:]

    /// What a trainer's model holds, all values changed by `convert` into another type.
    init<Value: BitwiseCopyable>(
        _ replica: Replica, _ type: String, _ convert: (Float) -> Value
    ) {
        tensors = replica.fileContents.map { content in
            switch content.values {
            case .float32(let values):
                Tensor(content.name, type, content.shape, values.map(convert))
            case .int64(let values): Tensor(content.name, "I64", content.shape, values)
            }
        }
    }

    init(_ replica: Replica) { self.init(replica, "F32") { $0 } }

    mutating func rename(_ change: (String) -> String) {
        for index in tensors.indices { tensors[index].name = change(tensors[index].name) }
    }

    mutating func replace(_ name: String, by tensor: Tensor?) {
        tensors = tensors.compactMap { $0.name == name ? tensor : $0 }
    }

    func read(headerStart: String = "") throws -> SafetensorsFile {
        var header: JSONObject = [:]
        if !metadata.isEmpty {
            header["__metadata__"] = .object(
                JSONObject(metadata.map { .init(name: $0.key, value: .string($0.value)) }))
        }
        var data: [UInt8] = []
        for tensor in tensors {
            header[tensor.name] = [
                "dtype": .string(tensor.type), "shape": .array(tensor.shape.map { .int($0) }),
                "data_offsets": [.int(data.count), .int(data.count + tensor.bytes.count)],
            ]
            data += tensor.bytes
        }
        let text = Array((headerStart + JSONValue.object(header).text).utf8)
        let length = withUnsafeBytes(of: UInt64(text.count).littleEndian) { Array($0) }
        return try SafetensorsFile(bytes: length + text + data, path: "theirs.safetensors")
    }
}

@Suite("Files of other programs")
struct ForeignFileTests {
    /// A trained model of two hidden layers with BN.
    private func trained(_ more: [String] = []) throws -> Trainer {
        let trainer = Trainer(
            try SmallRun.plan(
                shards: 6, scope: "\"global\"", hidden: "[12, 7]", epochs: 1, more: more))
        _ = try trainer.run(threads: 2)
        return trainer
    }

    private func counters(_ trainer: Trainer) -> [Int] { Array(trainer.replica.batchesTracked) }

    // MARK: types

    @Test("F16 and BF16 are read exactly, F64 rounded to the nearest, and all are said")
    func types() throws {
        let source = try trained().replica
        let given = source.fileContents
        func check(_ file: ForeignFile, _ note: String, _ expected: (Float) -> Float) throws {
            let replica = Replica(source.layout)
            #expect(try replica.load(file.read()) == [note])
            for (own, given) in zip(replica.fileContents, given) {
                guard case .float32(let a) = own.values, case .float32(let b) = given.values else {
                    continue
                }
                #expect(a == b.map(expected), "\(own.name)")
            }
        }
        // 2 hidden layers of weight and 4 of BN, and the last weight and bias.
        let count = 2 * 5 + 2
        try check(
            ForeignFile(source, "F16") { Float16($0) },
            "\(count) tensors of type F16, read as F32 exactly"
        ) { Float(Float16($0)) }
        try check(
            ForeignFile(source, "BF16") { UInt16($0.bitPattern >> 16) },
            "\(count) tensors of type BF16, read as F32 exactly"
        ) { Float(bitPattern: $0.bitPattern & 0xFFFF_0000) }
        try check(
            ForeignFile(source, "F64") { Double($0) },
            "\(count) tensors of type F64, read as F32 exactly"
        ) { $0 }
        var third = ForeignFile(source)
        third.replace(
            "layers.6.bias",
            by: .init("layers.6.bias", "F64", [10], (0..<10).map { Double($0) / 4 + 1e-9 }))
        let replica = Replica(source.layout)
        #expect(
            try replica.load(third.read()) == [
                "1 tensor of type F64, read as F32 (10 values rounded)"
            ])
        let bias = try #require(source.layout.parameter("layers.6.bias"))
        #expect(replica.values(of: bias) == (0..<10).map { Float(Double($0) / 4 + 1e-9) })
    }

    @Test("all 65 536 values of F16 and of BF16 are read as they are")
    func halves() throws {
        let all = (0...UInt16.max).map { $0 }
        var file = ForeignFile(Replica(ModelLayout([])))
        file.tensors = [.init("h", "F16", [65536], all), .init("b", "BF16", [65536], all)]
        let read = try file.read()
        for (bits, value) in zip(all, try read.floats("h")) {
            // IEEE 754 binary16, from its fields.
            let (exponent, fraction) = (Int(bits >> 10 & 31), Double(bits & 1023))
            let sign = bits >> 15 == 1 ? -1.0 : 1
            if exponent == 31 {
                #expect(fraction == 0 ? Double(value) == sign * .infinity : value.isNaN)
                continue
            }
            var magnitude = exponent == 0 ? fraction / 1024 : 1 + fraction / 1024
            for _ in 0..<abs(max(exponent, 1) - 15) { magnitude *= exponent > 15 ? 2 : 0.5 }
            #expect(Double(value) == sign * magnitude)
        }
        for (bits, value) in zip(all, try read.floats("b")) {
            #expect(value.bitPattern == UInt32(bits) << 16)
        }
    }

    @Test("a value of F64 beyond Float32, and integers in place of parameters, are refused")
    func refusedTypes() throws {
        let source = try trained().replica
        var file = ForeignFile(source)
        file.replace(
            "layers.6.bias",
            by: .init("layers.6.bias", "F64", [10], [1e300] + Array(repeating: 0.0, count: 9)))
        #expect(
            message { try Replica(source.layout).load(file.read()) }
                == "tensor 'layers.6.bias' in 'theirs.safetensors' has the value 1e+300, which is "
                + "beyond Float32; bring its values into that range and save again")
        file.replace(
            "layers.6.bias", by: .init("layers.6.bias", "I8", [10], [Int8](repeating: 1, count: 10))
        )
        #expect(
            message { try Replica(source.layout).load(file.read()) }
                == "tensor 'layers.6.bias' in 'theirs.safetensors' has values of type I8 where the "
                + "model has F32: convert it and save again")
    }

    // MARK: names

    @Test(
        "a prefix before all names is taken off, and said",
        arguments: ["module.", "_orig_mod.", "model.", "module._orig_mod.", "net.encoder."])
    func prefixes(prefix: String) throws {
        let source = try trained()
        var file = ForeignFile(source.replica)
        file.rename { prefix + $0 }
        // As torch.optim.swa_utils.AveragedModel leaves it.
        file.tensors.append(.init("n_averaged", "I64", [], [Int64(3)]))
        let replica = Replica(source.plan.layout)
        #expect(
            try replica.load(file.read()) == [
                "read without '\(prefix)' before every name",
                "skipped 1 tensor of types that no parameter has: 'n_averaged' (I64)",
            ])
        #expect(replica.digest == source.replica.digest)
        // For other classes, too.
        let four = Trainer(source.plan)
        file.replace(prefix + "layers.6.bias", by: nil)
        file.tensors.append(
            .init("\(prefix)layers.6.bias", "F32", [4], [Float](repeating: 9, count: 4)))
        #expect(try four.initialize(from: file.read()).fresh == ["layers.6.bias"])
    }

    @Test(
        "what is missing and what is left over is listed; a file without a config has no hint of it"
    )
    func differences() throws {
        let source = try trained()
        var file = ForeignFile(source.replica)
        file.replace("layers.0.weight", by: nil)
        file.replace("layers.4.running_var", by: nil)
        file.tensors.append(.init("head.weight", "F16", [1], [Float16(1)]))
        file.tensors.append(.init("mask", "BOOL", [3], [UInt8](repeating: 1, count: 3)))
        let differences =
            "'theirs.safetensors' is of another network: it lacks 'layers.0.weight', "
            + "'layers.4.running_var', and it has beyond the network's 'head.weight'; "
        func refusal() -> String {
            message { try Replica(source.plan.layout).load(file.read()) }
        }
        #expect(
            refusal() == differences
                + "choose the network that its tensors are of, or rename them")
        file.metadata["config"] = "{}"
        #expect(refusal() == differences + "use the config that the file was trained with")
        file.tensors = [.init("a", "F32", [1], [Float(1)])]
        file.metadata = [:]
        #expect(
            refusal()
                == "'theirs.safetensors' is of another network: it lacks 'layers.0.weight', "
                + "'layers.1.weight', 'layers.1.bias', 'layers.1.running_mean', "
                + "'layers.1.running_var', 'layers.3.weight', 'layers.4.weight', "
                + "'layers.4.bias', 'layers.4.running_mean', 'layers.4.running_var' and 2 more, "
                + "and it has beyond the network's 'a'; choose the network that its tensors are "
                + "of, or rename them")
    }

    @Test("blanks before the header are taken, as the format's own library takes them")
    func leadingBlanks() throws {
        let source = try trained()
        for blanks in [" ", "\n\t  "] {
            let file = try ForeignFile(source.replica).read(headerStart: blanks)
            let replica = Replica(source.plan.layout)
            #expect(try replica.load(file) == [])
            #expect(replica.digest == source.replica.digest)
        }
    }

    // MARK: counters

    @Test("a number of batches is read from every type that holds it, with the shape [] or [1]")
    func counterTypes() throws {
        let source = try trained()
        let name = "layers.4.num_batches_tracked"
        let forms: [ForeignFile.Tensor] = [
            .init(name, "I64", [1], [Int64(12)]), .init(name, "I32", [], [Int32(12)]),
            .init(name, "I32", [1], [Int32(12)]), .init(name, "U8", [], [UInt8(12)]),
            .init(name, "F32", [], [Float(12)]), .init(name, "F32", [1], [Float(12)]),
            .init(name, "F64", [], [12.0]), .init(name, "F16", [], [Float16(12)]),
        ]
        for form in forms {
            var file = ForeignFile(source.replica)
            file.replace(name, by: form)
            let replica = Replica(source.plan.layout)
            #expect(try replica.load(file.read()) == [])
            #expect(Array(replica.batchesTracked) == [5, 12], "\(form.type) \(form.shape)")
        }
        let wrong: [(ForeignFile.Tensor, String)] = [
            (
                .init(name, "F32", [], [Float(1.5)]),
                " is 1.5, which is no number of batches; save it again"
            ),
            (
                .init(name, "I64", [], [Int64(-1)]),
                " is -1.0, which is no number of batches; save it again"
            ),
            (
                .init(name, "I64", [2], [Int64(1), 2]),
                " has the shape [2] where the model has []; choose the network that its tensors are "
                    + "of, or rename them"
            ),
            (
                .init(name, "BOOL", [], [UInt8(1)]),
                " has values of type BOOL where the model has I64: convert it and save again"
            ),
        ]
        for (form, problem) in wrong {
            var file = ForeignFile(source.replica)
            file.replace(name, by: form)
            let replica = Replica(source.plan.layout)
            let digest = replica.digest
            #expect(
                message { try replica.load(file.read()) }
                    == "tensor '\(name)' in 'theirs.safetensors'" + problem)
            #expect(replica.digest == digest && Array(replica.batchesTracked) == [0, 0])
        }
    }

    @Test("a number of batches that is missing is 0, and said")
    func missingCounters() throws {
        let source = try trained()
        var file = ForeignFile(source.replica)
        file.replace("layers.4.num_batches_tracked", by: nil)
        let trainer = Trainer(source.plan)
        #expect(
            try trainer.initialize(from: file.read()).notes == [
                "no num_batches_tracked in 1 layer: taken for 0"
            ])
        #expect(counters(trainer) == [5, 0])
        file.replace("layers.1.num_batches_tracked", by: nil)
        let replica = Replica(source.plan.layout)
        #expect(
            try replica.load(file.read()) == ["no num_batches_tracked in 2 layers: taken for 0"])
        #expect(Array(replica.batchesTracked) == [0, 0])
    }

    @Test("each layer counts its own batches, and averages by its own count")
    func ownCounters() throws {
        let source = try trained()
        var file = ForeignFile(source.replica)
        file.replace(
            "layers.1.num_batches_tracked",
            by: .init("layers.1.num_batches_tracked", "I64", [], [Int64(6)]))
        file.replace(
            "layers.4.num_batches_tracked",
            by: .init("layers.4.num_batches_tracked", "I64", [], [Int64(12)]))
        func statistics(_ momentum: String, threads: Int) throws -> (Trainer, [[Float]]) {
            let plan = try SmallRun.plan(
                shards: 6, scope: "\"global\"", hidden: "[12, 7]",
                more: [
                    "model.normalization.momentum=\(momentum)", "steps=1", "epochs=null",
                ])
            let trainer = Trainer(plan)
            _ = try trainer.initialize(from: file.read())
            _ = try trainer.run(threads: threads)
            let saved = trainer.replica.file(configuration: plan.configuration)
            return (
                trainer,
                try ["1.running_mean", "1.running_var", "4.running_mean", "4.running_var"].map {
                    try saved.floats("layers.\($0)")
                }
            )
        }
        let before = try ["1.running_mean", "1.running_var", "4.running_mean", "4.running_var"]
            .map { try file.read().floats("layers.\($0)") }
        // Momentum 1 leaves the batch's own statistics.
        let (_, ofBatch) = try statistics("1", threads: 1)
        for threads in 1...3 {
            let (trainer, average) = try statistics("'cumulative'", threads: threads)
            #expect(counters(trainer) == [7, 13])
            for (index, weight) in [1.0 / 7, 1.0 / 7, 1.0 / 13, 1.0 / 13].enumerated() {
                for c in average[index].indices {
                    let expected =
                        (1 - weight) * Double(before[index][c])
                        + weight * Double(ofBatch[index][c])
                    #expect(
                        abs(Double(average[index][c]) - expected) <= 1e-6 * abs(expected) + 1e-7)
                }
            }
        }
    }

    @Test("a frozen layer's number of batches stays")
    func frozenCounter() throws {
        let source = try trained(["freeze=['layers.4']"])
        #expect(counters(source) == [5, 0])
        let file = try ForeignFile(source.replica).read()
        #expect(try file.count("layers.1.num_batches_tracked") == 5)
        #expect(try file.count("layers.4.num_batches_tracked") == 0)
    }
}
