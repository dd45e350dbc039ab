import Foundation
import TestSupport
import Testing
import Training

extension ProgramTests {
    @Suite("Statistics of saved models")
    struct Statistics {
        private static let moving = "inference uses moving averages (weight 0.1 for the new value)"

        /// The line on BN.
        private func line(_ result: ProcessResult) -> String {
            result.ourErrors.split(separator: "\n").first { $0.hasPrefix("BN ") }.map(String.init)
                ?? ""
        }

        @Test("recalibrate gives one file in every world, which says what it holds")
        func worlds() throws {
            let place = try Workplace()
            try place.run(Workplace.short + ["--out", "run", "--quiet"]).expectSuccess()
            let model = "run/final.safetensors"
            for method in ["paper", "exact"] {
                let words = ["recalibrate", model, "--method", method, "--json"]
                let first = try place.run(words + ["--threads", "1"])
                first.expectSuccess()
                #expect(line(first).hasSuffix(Self.moving))
                let object = try first.lastObject()
                let digest = try #require(object["parameters_digest"]?.string)
                let target = "run/final.\(method).safetensors"
                #expect(
                    object.members.map(\.name) == [
                        "command", "method", "model", "data", "world", "shards", "batch", "scope",
                        "samples", "batches", "seconds", "parameters_digest", "checkpoint",
                    ])
                #expect(object["command"] == "recalibrate" && object["method"] == .string(method))
                #expect(object["samples"] == 203 && object["batches"] == 9)
                #expect(object["checkpoint"] == .string(target))
                #expect(
                    first.stderr.contains(
                        "\ndone     statistics population \(method) of 203 samples in 9 batches "
                            + "in 0:0"))
                let whole = try place.bytes(of: target)
                for (ranks, threads) in [(1, 3), (1, 8), (2, 1), (3, 2)] {
                    let more = words + ["--threads", "\(threads)", "-o", "other"]
                    let again = ["--overwrite"]
                    let result =
                        try ranks > 1
                        ? place.run(ranks: ranks, more + again) : place.run(more + again)
                    result.expectSuccess()
                    #expect(try result.lastObject()["parameters_digest"]?.string == digest)
                    #expect(try place.bytes(of: "other") == whole)
                }
                let evaluated = try place.run(["eval", target, "--json"])
                evaluated.expectSuccess()
                #expect(
                    line(evaluated).hasSuffix("inference uses population statistics (\(method))"))
                let predicted = try place.run(["predict", target, "3"])
                predicted.expectSuccess()
                #expect(
                    line(predicted).hasSuffix("inference uses population statistics (\(method))"))
                // The same without a new file.
                let direct = try place.run(["eval", model, "--statistics", method, "--json"])
                direct.expectSuccess()
                #expect(line(direct) == line(evaluated))
                for name in ["test_loss", "test_accuracy", "parameters_digest"] {
                    #expect(
                        try direct.lastObject()[name] == (try evaluated.lastObject()[name]))
                }
                try place.run(["eval", target, "--statistics", "moving"]).expect(
                    64,
                    "'\(target)' holds statistics population \(method), no moving averages: leave "
                        + "--statistics out, or give the file that was recalibrated")
                try place.run(words).expect(
                    64,
                    "'\(target)' exists already: give --overwrite to replace it or another file "
                        + "with -o")
            }
        }

        @Test("eval takes moving averages, or each test batch's own statistics")
        func choices() throws {
            let place = try Workplace()
            try place.run(Workplace.short + ["--out", "run", "--quiet"]).expectSuccess()
            func eval(_ words: String...) throws -> ProcessResult {
                let result = try place.run(
                    ["eval", "run/final.safetensors", "--json"] + words)
                result.expectSuccess()
                return result
            }
            let stored = try eval()
            #expect(line(stored).hasSuffix(Self.moving))
            let moving = try eval("--statistics", "moving")
            #expect(try moving.lastObject()["test_loss"] == stored.lastObject()["test_loss"])
            let batch = try eval("--statistics=batch")
            #expect(line(batch).hasSuffix("inference uses each test batch's own statistics"))
            #expect(try batch.lastObject()["test_loss"] != stored.lastObject()["test_loss"])
            for threads in ["1", "5"] {
                let other = try eval("--statistics=batch", "--threads", threads)
                #expect(try other.lastObject()["test_loss"] == batch.lastObject()["test_loss"])
            }
            let few = try eval("--statistics=paper", "--batches=2")
            let all = try eval("--statistics=paper")
            #expect(
                try few.lastObject()["parameters_digest"] != all.lastObject()["parameters_digest"])
        }

        @Test("what has no statistics, or none such, is refused")
        func refused() throws {
            let place = try Workplace()
            let none = ["--set", "model.normalization.kind=layer"]
            try place.run(Workplace.short + none + ["--out", "bare", "--quiet"]).expectSuccess()
            let message =
                "the network of 'bare/final.safetensors' has no batch normalisation, and so no "
                + "statistics: evaluate it as it is"
            try place.run(["recalibrate", "bare/final.safetensors"]).expect(64, message)
            try place.run(["eval", "bare/final.safetensors", "--statistics", "batch"]).expect(
                64, message)
            try place.run(Workplace.short + ["--out", "run", "--quiet"]).expectSuccess()
            let model = "run/final.safetensors"
            try place.run([
                "eval", model, "--statistics", "batch", "--set", "batch.size=59", "--set",
                "batch.shards=4",
            ]).expect(
                64,
                "a test batch of 1 sample leaves one value a channel in a statistics group: set "
                    + "batch.size to another value than 59")
            try place.run([
                "eval", model, "--statistics", "batch", "--set", "batch.size=19", "--set",
                "batch.shards=3", "--set", "model.normalization.scope=shard",
            ]).expect(
                64,
                "a test batch of 3 samples leaves one value a channel in a statistics group: set "
                    + "batch.size to another value than 19, or model.normalization.scope to "
                    + "\"global\"")
            try place.run(["recalibrate", model, "--method", "best"]).expect(
                64,
                "--method takes 'paper' or 'exact', found 'best'; see `bn-train recalibrate --help`"
            )
            try place.run(["recalibrate", "no"]).expect(
                66,
                "no file 'no': give the path of a model, such as runs/NAME-1/final.safetensors")
        }
    }
}
