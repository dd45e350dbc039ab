import TestSupport
import Testing
import Training

@testable import BNTrainCommand

@Suite struct BenchComparisonTests {
    /// A comparison of benches that were not run: rates, and what the cores did, round by round.
    private func comparison(
        _ measured: [(options: String, runs: [(rate: Double, peak: Double?, workers: Int?)])],
        isKernel: Bool = false
    ) throws -> Comparison {
        Comparison(
            sides: try measured.map { side in
                .init(
                    options: side.options, arguments: try Arguments().side(side.options),
                    runs: side.runs.map { .init(rate: $0.rate, peak: $0.peak, workers: $0.workers) }
                )
            }, isKernel: isKernel)
    }

    @Test("options given on top of a bench win over its own, and the rest stays")
    func sides() throws {
        let arguments = try Arguments.parse([
            "bench", "--model", "lenet", "--threads", "2", "--set", "optimizer.momentum=0.9",
            "--seconds", "3", "--json", "--quiet", "--rounds", "4",
            "--compare", "--threads 1 --set 'data.directory=a b'", "--compare=--ranks 2",
        ])
        #expect(arguments.compared == ["--threads 1 --set 'data.directory=a b'", "--ranks 2"])
        #expect(arguments.rounds == 4)
        let first = try arguments.side("")
        #expect(
            first.benchWords == [
                "bench", "--set", "optimizer.momentum=0.9", "--threads", "2", "--model", "lenet",
                "--seconds", "3.0", "--timeout", "300.0",
            ])
        let second = try arguments.side(arguments.compared[0])
        #expect(second.threads == 1 && second.model == "lenet" && second.seconds == 3)
        #expect(second.settings == ["optimizer.momentum=0.9", "data.directory=a b"])
        #expect(!second.json && !second.quiet && second.compared.isEmpty)
        let third = try arguments.side(arguments.compared[1])
        #expect(third.ranks == 2 && third.threads == 2)
        #expect(try Arguments.parse(third.benchWords) == (try arguments.side("")))
    }

    @Test(
        "a line is cut into words as a shell does",
        arguments: [
            ("--threads 1", ["--threads", "1"]), ("  a   b ", ["a", "b"]), ("", []), (" ", []),
            ("--set 'a=[1, 2]'", ["--set", "a=[1, 2]"]), ("x\"y z\"w ''", ["xy zw", ""]),
            ("it\"'\"s", ["it's"]),
        ])
    func cutting(line: String, expected: [String]) {
        #expect(words(of: line) == expected)
    }

    @Test("ratios are taken round by round, and their median counts")
    func ratios() throws {
        // The machine is twice as fast in the last round: the ratio does not care.
        let comparison = try comparison([
            ("", [(300, 400, 2), (330, 410, 2), (640, 800, 2)]),
            ("--threads 1", [(200, 200, 1), (200, 205, 1), (400, 400, 1)]),
        ])
        let ratio = comparison.ratio(to: comparison.sides[1])
        #expect(ratio.median == 1.6 && ratio.least == 1.5 && ratio.most == 1.65)
        #expect(comparison.scaling(to: comparison.sides[1]) == 2)
        #expect(
            comparison.lines == [
                "as given     330 images/s (300 … 640)",
                "--threads 1  200 images/s (200 … 400); as given it is 1.600× as fast "
                    + "(1.500 … 1.650), FMA scaling 2.000: 0.800 of it",
            ])
    }

    @Test("as many workers have no scaling, nor have kernels")
    func scaling() throws {
        let alike = try comparison([
            ("", [(100, 400, 2)]), ("--set model.normalization.scope=shard", [(100, 400, 2)]),
        ])
        #expect(alike.scaling(to: alike.sides[1]) == nil)
        #expect(!alike.lines[1].contains("FMA"))
        let kernel = try comparison(
            [("", [(10, nil, nil)]), ("--threads 1", [(5, nil, nil)])], isKernel: true)
        #expect(kernel.scaling(to: kernel.sides[1]) == nil)
        #expect(kernel.lines[1].contains("5 calls/s (5 … 5); as given it is 2.000× as fast"))
    }

    @Test("the median of an even count lies between the middle two")
    func spread() {
        #expect(Spread([4, 1, 2, 9]).median == 3)
        #expect(Spread([4, 1, 9]).median == 4)
        #expect(Spread([7]) == Spread([7, 7]))
    }
}

extension ProgramTests {
    @Suite("bench")
    struct Bench {
        private static let short = [
            "bench", "--batch", "16", "--set", "model.hidden=[8]", "--shards", "4", "--seconds",
            "0.1", "--json",
        ]

        @Test("two benches are compared in turn, by threads and by ranks")
        func compares() throws {
            let place = try Workplace()
            let result = try place.run(
                Self.short + [
                    "--threads", "2", "--rounds", "2", "--compare", "--threads 1",
                ])
            result.expectSuccess()
            let object = JSONValue.object(try result.lastObject())
            #expect(object["unit"]?.string == "images/s")
            let sides = try #require(object["sides"]?.array)
            #expect(sides.map { $0["options"]?.string } == ["", "--threads 1"])
            #expect(sides.map { $0["workers"]?.int } == [2, 1])
            #expect(sides.allSatisfy { $0["runs"]?.array?.count == 2 })
            #expect(sides.allSatisfy { ($0["median"]?.double ?? 0) > 0 })
            #expect((sides[1]["ratio"]?.double ?? 0) > 0)
            #expect((sides[1]["fma_scaling"]?.double ?? 0) > 0)
            #expect(result.stderr.contains("round 2"))
            // What it started wrote into a folder that is gone.
            #expect(try place.names(in: ".").isEmpty)
        }

        @Test(
            "ranks are compared with threads", .enabled(if: mpirunIsInstalled, "there is no mpirun")
        )
        func comparesRanks() throws {
            let place = try Workplace()
            let ranks = try place.run(
                Self.short + [
                    "--threads", "1", "--rounds", "1", "--quiet", "--compare", "--ranks 2",
                ])
            ranks.expectSuccess()
            let both = try #require(JSONValue.object(try ranks.lastObject())["sides"]?.array)
            #expect(both.map { $0["workers"]?.int } == [1, 2])
            try place.run(
                Self.short + ["--threads", "1", "--quiet", "--compare", "--ranks 5"]
            ).expect(
                64,
                "bench --set model.hidden=[8] --threads 1 --batch 16 --shards 4 --seconds 0.1 "
                    + "--timeout 300.0 failed: 5 ranks are more than the 4 shards of a batch, and "
                    + "each rank needs one: start at most 4 ranks and give them --threads, or set "
                    + "batch.shards to at least 5")
        }

        @Test("what is wrong with one of them comes out first")
        func refuses() throws {
            let place = try Workplace()
            let result = try place.run(
                Self.short + ["--quiet", "--compare", "--set batch.size=zero"])
            #expect(result.status == 64 && result.stdout == "")
            #expect(
                result.ourErrors.hasPrefix(
                    "bn-train: error: --set: batch.size: expected a whole number of at least 1"))
        }

        @Test("under mpirun nothing is compared")
        func launched() throws {
            let place = try Workplace()
            let result = try place.run(ranks: 2, Self.short + ["--compare", "--threads 2"])
            #expect(result.status == 64)
            #expect(
                result.stderr.contains(
                    "bn-train: error: bench --compare starts ranks itself: run it without mpirun, "
                        + "and give --ranks N"))
        }

        @Test("the layer of batch normalisation runs on threads", arguments: [1, 2])
        func layer(threads: Int) throws {
            let place = try Workplace()
            for kernel in ["batch_norm", "batch_norm_relu"] {
                let result = try place.run([
                    "bench", "--kernel", kernel, "--shape", "5x3x2x7", "--shards", "3",
                    "--threads", "\(threads)", "--seconds", "0.05", "--json",
                ])
                result.expectSuccess()
                let object = JSONValue.object(try result.lastObject())
                #expect(object["kernel"]?.string == kernel)
                #expect((object["microseconds"]?.double ?? 0) > 0)
            }
            try place.run([
                "bench", "--kernel", "batch_norm", "--shape", "5x3x2x7", "--shards", "3",
                "--threads", "4",
            ]).expect(
                64,
                "--threads 4 are more than the 3 shards: give --shards of at least 4, or fewer "
                    + "threads")
            try place.run([
                "bench", "--kernel", "batch_norm", "--shape", "5x3x2x7", "--shards", "6",
            ]).expect(
                64, "--shards 6 are more than the 5 samples of --shape: give fewer shards")
        }

        @Test("so do those that normalise each sample by itself", arguments: [1, 2])
        func sampleLayers(threads: Int) throws {
            let place = try Workplace()
            for (kernel, shape) in [
                ("group_norm", "5x3x2x16"), ("group_norm", "5x16"), ("layer_norm", "5x7"),
                ("instance_norm", "5x3x2x7"),
            ] {
                let result = try place.run([
                    "bench", "--kernel", kernel, "--shape", shape, "--shards", "3",
                    "--threads", "\(threads)", "--seconds", "0.05", "--json",
                ])
                result.expectSuccess()
                let object = JSONValue.object(try result.lastObject())
                #expect(object["kernel"]?.string == kernel)
                #expect((object["microseconds"]?.double ?? 0) > 0)
            }
            try place.run(["bench", "--kernel", "group_norm", "--shape", "5x3x2x12"]).expect(
                64,
                "group_norm takes 8 groups, which do not divide the 12 channels of --shape: give a "
                    + "multiple of 8")
            for (kernel, shape) in [("instance_norm", "5x7"), ("group_norm", "5x8")] {
                try place.run(["bench", "--kernel", kernel, "--shape", shape]).expect(
                    64,
                    "\(kernel) would take the statistics of single values with --shape "
                        + "'\(shape)': give one such as 64x56x56x64")
            }
        }
    }
}
