import Testing

@testable import Configuration

struct SweepTests {
    private func sweep(
        _ text: String, settings: [String] = [], isQuick: Bool = false
    ) throws -> SweepConfiguration {
        try SweepConfiguration.load(
            bytes: Array(text.utf8), name: "folder/some-sweep.json5", settings: settings,
            isQuick: isQuick)
    }

    @Test("every cell is run at every grid point with every seed, the last key fastest")
    func product() throws {
        let sweep = try sweep(
            """
            { base: { steps: 7, model: { hidden: [4] } },
              grid: { "model.activation": ["relu", "tanh"], "optimizer.learningRate": [0.5, 1e-2, 2] },
              seeds: [3, 5] }
            """)
        #expect(sweep.title == "some-sweep")
        #expect(sweep.columns == ["model.activation", "optimizer.learningRate"])
        #expect(sweep.runCount == 12)
        #expect(
            sweep.cells.map(\.name) == [
                "relu, 0.5", "relu, 0.01", "relu, 2", "tanh, 0.5", "tanh, 0.01", "tanh, 2",
            ])
        let configuration = sweep.cells[4].configurations[1]
        #expect(configuration.seed == 5)
        #expect(configuration.model.activation == .tanh)
        #expect(configuration.optimizer.learningRate == 0.01)
        #expect(configuration.length == .steps(7))
    }

    @Test("cells have names or columns, sections may be values, and --set wins over all")
    func cells() throws {
        let sweep = try sweep(
            """
            { cells: [
                { name: "as printed", "model.placement": "after" },
                { "model.normalization": { kind: "none" } },
                { "model.normalization.scope": { group: 2 }, "batch.shards": 4 } ],
              grid: { "batch.size": [32, 64] }, seeds: 2, threshold: 0.9 }
            """, settings: ["batch.size=16", "seed=9"])
        #expect(
            sweep.columns
                == [
                    "cell", "model.normalization", "model.normalization.scope", "batch.shards",
                    "batch.size",
                ])
        #expect(sweep.cells[0].values == ["as printed", "", "", "", "32"])
        #expect(sweep.cells[3].values == ["", "kind none", "", "", "64"])
        #expect(sweep.cells[4].values == ["", "", "group 2", "4", "32"])
        #expect(sweep.cells[0].configurations[0].model.placement == .after)
        #expect(sweep.cells[3].configurations[0].model.normalization == .none)
        #expect(sweep.cells.allSatisfy { $0.configurations.allSatisfy { $0.batch.size == 16 } })
        #expect(sweep.cells[5].configurations.map(\.seed) == [1, 2])
        #expect(sweep.threshold == 0.9)
    }

    @Test("quick replaces what it names and keeps the rest")
    func quick() throws {
        let text = """
            { base: { steps: 5000, evaluate: { everySteps: 500 } },
              grid: { "optimizer.learningRate": [0.1, 0.2, 0.3] }, seeds: 5, threshold: 0.5,
              quick: { base: { steps: 10 }, seeds: [7], grid: { "batch.size": [8, 9] } } }
            """
        let quick = try sweep(text, isQuick: true)
        #expect(quick.columns == ["batch.size"] && quick.seeds == [7] && quick.threshold == 0.5)
        #expect(quick.cells[0].configurations[0].length == .steps(10))
        #expect(quick.cells[0].configurations[0].evaluate.everySteps == 500)
        let full = try sweep(text)
        #expect(full.runCount == 15)
        #expect(full.cells[0].configurations[0].length == .steps(5000))
    }

    @Test("published numbers belong to the cells that have the values they name")
    func published() throws {
        let sweep = try sweep(
            """
            { grid: { "model.activation": ["relu", "tanh"], "optimizer.learningRate": [0.01, 2] },
              published: { source: "a page.", rows: [
                { when: { "model.activation": "tanh", "optimizer.learningRate": 0.01 }, test: 0.9 },
                { when: { "model.activation": "tanh" }, validation: 0.8, test: 0.7, steps: "500" } ] },
              series: ["model.activation"],
              figures: [{ x: "optimizer.learningRate", y: "testError", log: true }] }
            """)
        #expect(sweep.cells.map { sweep.published(for: $0)?.test } == [nil, nil, 0.9, 0.7])
        #expect(sweep.published(for: sweep.cells[3])?.steps == "500")
        #expect(sweep.figures[0].y == .testError && sweep.figures[0].isLogarithmic)
    }

    @Test("a figure of paths has labels, and no column")
    func paths() throws {
        let sweep = try sweep(
            """
            { grid: { "batch.size": [8, 16] },
              figures: [{ kind: "path", title: "paths", labels: ["a", "b"] }] }
            """)
        #expect(sweep.figures[0].kind == .path && sweep.figures[0].labels == ["a", "b"])
    }

    @Test(
        "a wrong sweep is refused with its place and a remedy",
        arguments: [
            (
                "{ gird: {} }",
                """
                folder/some-sweep.json5:1:3: unknown key "gird"; did you mean "grid"? Known here: \
                grid, title, base, seeds, quick, cells, series, figures, question, threshold, published
                { gird: {} }
                  ^
                """
            ),
            (
                "{ grid: {} }",
                """
                folder/some-sweep.json5:1:9: grid: expected at least one key with a list of values, \
                found an empty object
                { grid: {} }
                        ^
                """
            ),
            (
                "{ grid: { \"batch.size\": [] } }",
                """
                folder/some-sweep.json5:1:25: grid.batch.size: expected a list of at least one value, \
                found an empty list
                { grid: { "batch.size": [] } }
                                        ^
                """
            ),
            (
                "{ grid: { \"batch.sise\": [1] } }",
                """
                folder/some-sweep.json5:1:11: unknown key "sise" in batch; did you mean "size"? Known \
                here: size, shards
                { grid: { "batch.sise": [1] } }
                          ^
                """
            ),
            (
                "{ grid: { \"batch.size\": [8, 0] } }",
                """
                folder/some-sweep.json5:1:29: batch.size: expected a whole number of at least 1, found 0
                { grid: { "batch.size": [8, 0] } }
                                            ^
                """
            ),
            (
                "{ grid: { \"batch.size\": [8] }, figures: [{ kind: \"path\", log: true }] }",
                """
                folder/some-sweep.json5:1:58: figures.log has no effect here: remove it, or set \
                figures.kind to "measure"
                { grid: { "batch.size": [8] }, figures: [{ kind: "path", log: true }] }
                                                                         ^
                """
            ),
            (
                "{ grid: { \"batch.size\": [8, 8] } }",
                """
                folder/some-sweep.json5:1:29: grid.batch.size: expected values that differ, found 8 twice
                { grid: { "batch.size": [8, 8] } }
                                            ^
                """
            ),
            (
                "{ grid: { seed: [1, 2] } }",
                """
                folder/some-sweep.json5:1:11: a cell: expected any key but seed, which "seeds" lists, \
                found seed
                { grid: { seed: [1, 2] } }
                          ^
                """
            ),
            (
                "{ base: { steps: 1 } }",
                """
                folder/some-sweep.json5:1:1: a sweep without cells needs grid: set it to lists of values \
                by key, such as { "optimizer.learningRate": [0.01, 0.1] }
                { base: { steps: 1 } }
                ^
                """
            ),
            (
                "{ grid: { \"batch.size\": [8] }, seeds: [] }",
                """
                folder/some-sweep.json5:1:39: seeds: expected a list of seeds, or how many of 1, 2, 3 …, \
                found an empty list
                { grid: { "batch.size": [8] }, seeds: [] }
                                                      ^
                """
            ),
            (
                "{ grid: { \"batch.size\": [8] }, threshold: 90 }",
                """
                folder/some-sweep.json5:1:43: threshold: expected an accuracy between 0 and 1, found 90
                { grid: { "batch.size": [8] }, threshold: 90 }
                                                          ^
                """
            ),
            (
                "{ grid: { \"batch.size\": [8] }, series: [\"batch.sise\"] }",
                """
                folder/some-sweep.json5:1:41: series: unknown name "batch.sise"; choose "batch.size"
                { grid: { "batch.size": [8] }, series: ["batch.sise"] }
                                                        ^
                """
            ),
            (
                "{ grid: { \"batch.size\": [4], \"batch.shards\": [8] } }",
                """
                folder/some-sweep.json5:1:47: 8 shards are more than the 4 samples of a batch: set \
                batch.shards to at most 4 or to "auto", or batch.size to at least 8
                { grid: { "batch.size": [4], "batch.shards": [8] } }
                                                              ^
                """
            ),
        ])
    func refusals(text: String, message: String) {
        let error = #expect(throws: ConfigurationError.self) { try sweep(text) }
        // The source line and the caret are set in.
        #expect(error?.description.replacing("\n    ", with: "\n") == message)
    }

    @Test("a missing sweep file is no missing configuration")
    func missing() {
        let error = #expect(throws: ConfigurationError.self) {
            try SweepConfiguration.load(file: "no/such.json5")
        }
        #expect(
            error?.description
                == "there is no sweep file \"no/such.json5\": give one such as "
                + "configs/experiments/NAME.json5")
    }

    @Test("too many runs are refused before they are multiplied out")
    func tooMany() {
        let values = (1...200).map { "\($0)" }.joined(separator: ",")
        let error = #expect(throws: ConfigurationError.self) {
            try sweep(
                "{ grid: { \"batch.size\": [\(values)], \"steps\": [\(values)] } }")
        }
        #expect(
            error?.description.contains("grid: expected at most 10000 runs, found 40000") == true)
    }
}
