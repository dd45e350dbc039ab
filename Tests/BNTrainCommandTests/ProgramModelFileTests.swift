import Foundation
import TestSupport
import Testing
import Training

extension ProgramTests {
    @Suite("Model files that cannot be used are refused with what is wrong")
    struct ModelFiles {
        /// The header of a file that training wrote, and its data.
        private struct Parts {
            var header: JSONValue
            var data: [UInt8]

            init(_ bytes: [UInt8]) throws {
                let length = bytes[..<8].reversed().reduce(0) { $0 << 8 | Int($1) }
                header = try JSONValue(parsing: Array(bytes[8..<8 + length]))
                data = Array(bytes[(8 + length)...])
            }

            /// The file with another header.
            func bytes(header text: String) -> [UInt8] {
                bytes(length: UInt64(text.utf8.count)) + Array(text.utf8) + data
            }

            /// What a file begins with: the length of its header.
            func bytes(length: UInt64) -> [UInt8] {
                withUnsafeBytes(of: length.littleEndian) { Array($0) }
            }

            /// A header with a member changed, or without it.
            func header(_ name: String, _ value: JSONValue?) -> String {
                var object = header.object ?? [:]
                object[name] = value
                return JSONValue.object(object).text
            }
        }

        @Test("truncated, oversized or damaged headers, overlaps, other names, by every command")
        func damaged() throws {
            let place = try Workplace()
            try place.run(Workplace.short + ["--out", "run", "--quiet"]).expectSuccess()
            let whole = try place.bytes(of: "run/final.safetensors")
            let parts = try Parts(whole)
            let first = try #require(parts.header["layers.0.weight"])
            let size = whole.count
            let sameModel = "use the config that the file was trained with"

            let cases: [(bytes: [UInt8], message: String)] = [
                (
                    Array(whole.dropLast(50)),
                    "'x' is cut off: it should have at least \(size) bytes and has \(size - 50); "
                        + "copy or save it again"
                ),
                (
                    [1, 2, 3],
                    "'x' is cut off: it should have at least 8 bytes and has 3; copy or save it "
                        + "again"
                ),
                (
                    parts.bytes(length: 1 << 60) + whole.dropFirst(8),
                    "'x' is not a safetensors file: its header would have 1152921504606846976 "
                        + "bytes, more than the 100000000 allowed; give a .safetensors file"
                ),
                (
                    parts.bytes(length: UInt64(size)) + whole.dropFirst(8),
                    "'x' is not a whole safetensors file: its header should have \(size) bytes "
                        + "and \(size - 8) follow; copy or save it again"
                ),
                (
                    parts.bytes(header: #"{"a": tru  }"#),
                    "'x' has a damaged header, which is not JSON: there is no value at byte 6; "
                        + "copy or save it again"
                ),
                (
                    parts.bytes(
                        header: parts.header(
                            "layers.1.weight",
                            ["dtype": "F32", "shape": [16], "data_offsets": [100, 164]])),
                    "tensor 'layers.0.weight' in 'x' shares bytes with 'layers.1.weight'; save it "
                        + "again"
                ),
                (
                    parts.bytes(
                        header: parts.header.text.replacing(
                            "layers.0.weight", with: "layer.0.weight")),
                    "'x' is of another network: it lacks 'layers.0.weight', and it has beyond "
                        + "the network's 'layer.0.weight'; \(sameModel)"
                ),
                (
                    parts.bytes(header: parts.header("__metadata__", nil)),
                    "'x' has no configuration of its run in its header: give it with --config FILE"
                ),
            ]
            #expect(first["shape"] == [16, 784])
            for (bytes, message) in cases {
                try place.write(bytes, to: "x")
                try place.run(["eval", "x"]).expect(65, message)
                try place.run(["predict", "x", "0"]).expect(65, message)
                // It asks for no configuration, and knows no model.
                if message.contains("config") { continue }
                try place.run(["inspect", "x"]).expect(65, message)
            }

            try place.run(["eval", "no.safetensors"]).expect(
                66,
                "no file 'no.safetensors': give the path of a model, such as "
                    + "runs/NAME-1/final.safetensors")
            try place.run(["eval", "run"]).expect(
                74, "cannot read 'run': Is a directory; check the path")
            let model = "run/final.safetensors"
            try place.run(["eval", model, "--set", "model.hidden=[16,13]"]).expect(
                65,
                "tensor 'layers.3.weight' in '\(model)' has the shape [12, 16] where the model "
                    + "has [13, 16]; \(sameModel)")
            try place.run(ranks: 2, ["eval", model, "--set", "model.normalization.kind=none"])
                .expect(
                    65,
                    "'\(model)' is of another network: it lacks 'layers.0.bias', 'layers.2.weight', "
                        + "'layers.2.bias', and it has beyond the network's 'layers.1.weight', "
                        + "'layers.1.bias', 'layers.1.running_mean', 'layers.1.running_var', "
                        + "'layers.3.weight', 'layers.4.running_mean', 'layers.4.running_var', "
                        + "'layers.6.weight', 'layers.6.bias'; \(sameModel)")
        }

        @Test("names with a prefix are read, and the commands say so")
        func prefix() throws {
            let place = try Workplace()
            try place.run(Workplace.short + ["--out", "run", "--quiet"]).expectSuccess()
            let parts = try Parts(try place.bytes(of: "run/final.safetensors"))
            try place.write(
                parts.bytes(
                    header: parts.header.text.replacing("\"layers.", with: "\"module.layers.")),
                to: "x")
            let said = "file     read without 'module.' before every name\n"
            let evaluated = try place.run(["eval", "x", "--json"])
            evaluated.expectSuccess()
            #expect(evaluated.stderr.contains(said))
            #expect(
                try evaluated.lastObject()["parameters_digest"]
                    == place.run(["eval", "run/final.safetensors", "--json"]).lastObject()[
                        "parameters_digest"])
            let fine = try place.run(
                Workplace.short + ["--init", "x", "--out", "fine"])
            fine.expectSuccess()
            #expect(fine.stderr.contains("start    from x\n" + said), "\(fine.stderr)")
            let predicted = try place.run(["predict", "x", "3"])
            predicted.expectSuccess()
            #expect(predicted.stderr.contains(said))
            try place.run(["inspect", "x"]).expectSuccess()
        }

        @Test("predict names a sample that does not exist, and what is no index")
        func indices() throws {
            let place = try Workplace()
            try place.run(Workplace.short + ["--out", "run", "--quiet"]).expectSuccess()
            let predict = ["predict", "run/final.safetensors"]
            try place.run(predict + ["59", "60"]).expect(
                64, "there is no test sample 60: the set has 60, numbered from 0 to 59")
            try place.run(predict + ["--", "-1"]).expect(
                64, "there is no test sample -1: the set has 60, numbered from 0 to 59")
            try place.run(predict + ["digit.png"]).expect(
                64, "'digit.png' is no index of a test sample: give numbers from 0")
            let result = try place.run(predict + ["59", "0", "--json"])
            result.expectSuccess()
            let object = try result.lastObject()
            #expect(object.members.map(\.name) == ["command", "checkpoint", "predictions"])
            let predictions = try #require(object["predictions"]?.array)
            #expect(predictions.map { $0["index"] } == [59, 0])
            for prediction in predictions {
                let shares = try #require(prediction["probabilities"]?.array).compactMap(\.double)
                #expect(shares.count == 10 && abs(shares.reduce(0, +) - 1) < 1e-5)
            }
        }

        @Test("a model that ends behind its softmax trains, evaluates, predicts and verifies")
        func behindSoftmax() throws {
            let place = try Workplace()
            let words = [
                "--set", "model.name=mnist-cnn", "--set", "model.placement=after",
                "--set", "data.samples=200", "--set", "data.testSamples=40",
                "--set", "batch.size=20", "--set", "batch.shards=2",
                "--set", "optimizer.learningRate=1e-4",
            ]
            let run = try place.run(words + ["--set", "epochs=2", "--out", "run", "--json"])
            run.expectSuccess()
            #expect(run.stderr.contains("BN       after the softmax; scope global"))
            let trained = try run.lastObject()
            let evaluated = try place.run(["eval", "run/final.safetensors", "--json"]).lastObject()
            for name in ["test_loss", "test_accuracy"] {
                #expect(trained[name]?.double != nil && trained[name] == evaluated[name])
            }
            let result = try place.run(["predict", "run/final.safetensors", "3", "--json"])
            result.expectSuccess()
            let prediction = try #require(result.lastObject()["predictions"]?.array?.first)
            for share in try #require(prediction["probabilities"]?.array).compactMap(\.double) {
                #expect((0.99e-7...1).contains(share))
            }
            let verified = try place.run(["verify", "--steps", "5"] + words)
            #expect(verified.status == 0, "\(verified.stderr)")
        }
    }
}
