import Testing

@testable import Configuration

/// What follows from the batch: shards, steps, statistics groups, the size of the world.
struct BatchTests {
    private func load(_ settings: String...) throws -> RunConfiguration {
        try RunConfiguration.load(file: nil, settings: settings)
    }

    /// The message of an action that throws; nil if it does not.
    private func message(_ action: () throws(ConfigurationError) -> Void) -> String? {
        do throws(ConfigurationError) {
            try action()
            return nil
        } catch {
            #expect(error.location == nil)
            return error.description
        }
    }

    @Test(
        "shards \"auto\" is the power of two nearest to batch / 16",
        arguments: [
            (1, 1), (2, 1), (16, 1), (23, 1), (24, 2), (32, 2), (47, 2), (48, 4), (60, 4), (64, 4),
            (95, 4), (96, 8), (100, 8), (128, 8), (191, 8), (192, 16), (256, 16), (384, 32),
            (512, 32), (767, 32), (768, 64), (1024, 64), (4096, 64), (1_048_576, 64),
        ])
    func autoShards(batch: Int, shards: Int) throws {
        #expect(try load("batch.size=\(batch)").resolvedShards == shards)
    }

    @Test("no power of two is nearer to batch / 16 than \"auto\", for any batch")
    func autoShardsAreNearest() {
        var configuration = RunConfiguration.default
        for batch in 1...2_000 {
            configuration.batch.size = batch
            let shards = configuration.resolvedShards
            let powers = (0...6).map { 1 << $0 }
            #expect(powers.contains(shards) && shards <= batch)
            let distance = { (power: Int) in abs(16 * power - batch) }
            let nearest = powers.map(distance).min() ?? 0
            // Of two that are equally near, the larger.
            #expect(shards == powers.last { distance($0) == nearest })
        }
    }

    @Test("explicit shards are taken as they are")
    func explicitShards() throws {
        #expect(try load("batch.shards=7").resolvedShards == 7)
        #expect(try load("batch.shards=60").resolvedShards == 60)
    }

    @Test("the short last batch counts as a step unless it is dropped")
    func steps() throws {
        #expect(try load("epochs=3").totalSteps(trainingSamples: 120) == 6)
        #expect(try load("epochs=3").totalSteps(trainingSamples: 121) == 9)
        #expect(try load("epochs=3", "data.dropLast=true").totalSteps(trainingSamples: 179) == 6)
        #expect(try load("epochs=3").totalSteps(trainingSamples: 1) == 3)
        #expect(try load("steps=50").totalSteps(trainingSamples: 121) == 50)
        #expect(try load("epochs=1000000000").totalSteps(trainingSamples: .max) == .max)
        #expect(RunConfiguration.default.stepsPerEpoch(trainingSamples: 20_000) == 334)
    }

    @Test("an epoch without a batch is refused, for a length in steps too")
    func noBatch() throws {
        let dropping = try load("data.dropLast=true", "steps=5")
        #expect(
            message { () throws(ConfigurationError) in
                _ = try dropping.totalSteps(trainingSamples: 59)
            } == """
                59 training samples make no whole batch of 60, and data.dropLast drops the rest: \
                set data.dropLast to false or lower batch.size
                """)
        #expect(
            message { () throws(ConfigurationError) in
                _ = try RunConfiguration.default.totalSteps(trainingSamples: 0)
            } == """
                there are no training samples: check data.directory, data.limit, data.validation
                """)
    }

    @Test("more ranks than shards are refused")
    func ranks() throws {
        let four = try load("batch.shards=4")
        try four.validate(ranks: 4)
        #expect(
            message { () throws(ConfigurationError) in
                try four.validate(ranks: 5)
            } == """
                5 ranks are more than the 4 shards of a batch, and each rank needs one: start at \
                most 4 ranks and give them --threads, or set batch.shards to at least 5
                """)
        let small = try load("batch.size=3", "batch.shards=2")
        #expect(
            message { () throws(ConfigurationError) in
                try small.validate(ranks: 5)
            } == """
                5 ranks are more than the 2 shards of a batch, and each rank needs one: start at \
                most 2 ranks and give them --threads, or set batch.size and batch.shards to at \
                least 5
                """)
    }

    @Test("values changed in code are checked too")
    func changedInCode() {
        var configuration = RunConfiguration.default
        configuration.batch = .init(size: 4, shards: .count(8))
        #expect(
            message { () throws(ConfigurationError) in
                try configuration.validate(ranks: 1)
            } == """
                8 shards are more than the 4 samples of a batch: set batch.shards to at most 4 or \
                to "auto", or batch.size to at least 8
                """)
    }

    @Test(
        "a group with one value per channel is refused with its batch and what helps",
        arguments: [
            (
                61, [],
                """
                batch 2 of 2 has only 1 sample, and one value per channel has no variance: set \
                data.dropLast to true
                """
            ),
            (
                65, ["model.normalization.scope=shard"],
                """
                batch 2 of 2 has 5 samples, and its statistics group 1 of 4 only one: one value \
                per channel has no variance; set data.dropLast to true, or batch.shards to at most \
                2, or model.normalization.scope to "global"
                """
            ),
            (
                127, ["model.normalization.scope={group: 2}", "batch={size: 62, shards: 8}"],
                """
                batch 3 of 3 has 3 samples, and its statistics group 2 of 4 only one: one value \
                per channel has no variance; set data.dropLast to true, or batch.shards to at most \
                2 (a multiple of 2), or model.normalization.scope to "global"
                """
            ),
            (
                100, ["model.normalization.scope=shard", "batch.shards=40"],
                """
                batch 1 of 2 has 60 samples, and its statistics group 1 of 40 only one: one value \
                per channel has no variance; set batch.shards to at most 30, or \
                model.normalization.scope to "global"
                """
            ),
            (
                1, [],
                """
                batch 1 of 1 has only 1 sample, and one value per channel has no variance: set \
                batch.size to another value, at least 2
                """
            ),
        ] as [(Int, [String], String)])
    func singleValue(trainingSamples: Int, settings: [String], text: String) throws {
        let configuration = try RunConfiguration.load(file: nil, settings: settings)
        #expect(
            message { () throws(ConfigurationError) in
                try configuration.checkStatisticsGroups(trainingSamples: trainingSamples)
            } == text)
    }

    @Test("without BN, or without a layer for it, no group is refused")
    func withoutNormalization() throws {
        try load("model.normalization.kind=none").checkStatisticsGroups(trainingSamples: 61)
        try load("model.hidden=[]").checkStatisticsGroups(trainingSamples: 61)
        try load("data.dropLast=true").checkStatisticsGroups(trainingSamples: 61)
    }

    /// The definition, sample by sample: whether a batch of an epoch has a group of one.
    private func hasGroupOfOne(
        _ trainingSamples: Int, batch: Int, shards: Int, shardsPerGroup: Int, dropLast: Bool
    ) -> Bool {
        for first in stride(from: 0, to: trainingSamples, by: batch) {
            let samples = min(batch, trainingSamples - first)
            if dropLast, samples < batch { continue }
            var counts = [Int](repeating: 0, count: shards / shardsPerGroup)
            for shard in 0..<shards {
                counts[shard / shardsPerGroup] +=
                    (shard + 1) * samples / shards - shard * samples / shards
            }
            if counts.contains(1) { return true }
        }
        return false
    }

    @Test("exactly the epochs with a group of one are refused, and each remedy helps")
    func groupsOfOne() throws {
        var configuration = RunConfiguration.default
        guard case .batch(var normalization) = configuration.model.normalization else {
            Issue.record("the default has no BN")
            return
        }
        var refused = 0
        for batch in [1, 2, 3, 7, 8, 12, 16] {
            for shards in 1...batch {
                for group in 1...shards where shards % group == 0 {
                    for dropLast in [false, true] {
                        for samples in 0...(2 * batch + 1) {
                            configuration.batch = .init(size: batch, shards: .count(shards))
                            configuration.data.dropLast = dropLast
                            normalization.scope = .group(group)
                            configuration.model.normalization = .batch(normalization)
                            let expected = hasGroupOfOne(
                                samples, batch: batch, shards: shards, shardsPerGroup: group,
                                dropLast: dropLast)
                            let error = refusal(configuration, samples)
                            #expect((error != nil) == expected)
                            guard let error else { continue }
                            refused += 1
                            try checkRemedies(error, configuration, samples, group)
                        }
                    }
                }
            }
        }
        #expect(refused > 100)
    }

    private func refusal(
        _ configuration: RunConfiguration, _ samples: Int
    ) -> ConfigurationError.SingleValueGroup? {
        do throws(ConfigurationError) {
            try configuration.checkStatisticsGroups(trainingSamples: samples)
        } catch {
            if case .singleValueGroup(let group) = error.problem { return group }
            Issue.record("another error: \(error)")
        }
        return nil
    }

    /// A remedy cures the batch that is named; a shorter one may need another.
    private func checkRemedies(
        _ error: ConfigurationError.SingleValueGroup, _ configuration: RunConfiguration,
        _ samples: Int, _ group: Int
    ) throws {
        #expect(!error.remedies.isEmpty)
        for remedy in error.remedies {
            var cured = configuration
            if remedy == "data.dropLast to true" {
                cured.data.dropLast = true
                #expect(refusal(cured, samples) == nil)
            } else if remedy.hasPrefix("batch.shards to at most ") {
                let number = remedy.dropFirst(24).prefix { $0.isNumber }
                let shards = try #require(Int(number))
                #expect(shards >= group && shards % group == 0)
                cured.batch.shards = .count(shards)
                #expect(refusal(cured, error.samples) == nil)
            } else if remedy == "model.normalization.scope to \"global\"" {
                if case .batch(var normalization) = cured.model.normalization {
                    normalization.scope = .global
                    cured.model.normalization = .batch(normalization)
                }
                #expect(refusal(cured, error.samples) == nil)
            } else {
                #expect(remedy == "batch.size to another value, at least 2")
            }
        }
    }
}
