extension RunConfiguration {
    /// Shards of a batch.
    ///
    /// `auto` is a function of the batch size alone, never of the machine: the power of two nearest
    /// to size / 16, the larger one where two are equally near, between 1 and 64. As 16 is the
    /// size of a shard aimed at, there are never more shards than samples.
    public var resolvedShards: Int {
        if case .count(let count) = batch.shards { return count }
        // From s on, 2s is as near as s where size / 16 reaches the middle of both, 3s / 2.
        var shards = 1
        while shards < 64, batch.size >= 24 * shards { shards *= 2 }
        return shards
    }

    /// Steps of one epoch over `trainingSamples` (those left after limit and validation); 0 if
    /// there is no batch.
    public func stepsPerEpoch(trainingSamples: Int) -> Int {
        let whole = trainingSamples / batch.size
        return data.dropLast || trainingSamples % batch.size == 0 ? whole : whole + 1
    }

    /// Steps of the whole run; saturates at Int.max.
    ///
    /// Throws if an epoch has no batch: no samples, or fewer than a batch with dropLast.
    public func totalSteps(trainingSamples: Int) throws(ConfigurationError) -> Int {
        let stepsPerEpoch = stepsPerEpoch(trainingSamples: trainingSamples)
        if stepsPerEpoch == 0 {
            throw ConfigurationError(.noBatch(samples: trainingSamples, batch: batch.size))
        }
        switch length {
        case .steps(let steps): return steps
        case .epochs(let epochs):
            let (product, overflow) = epochs.multipliedReportingOverflow(by: stepsPerEpoch)
            return overflow ? Int.max : product
        }
    }

    /// Refuses more ranks than shards: some would have nothing to do. The threads of a rank can share a
    /// shard.
    ///
    /// Also checks that the values go together, for a configuration that was changed in code.
    public func validate(ranks: Int) throws(ConfigurationError) {
        if let conflict { throw ConfigurationError(conflict.problem) }
        if ranks > resolvedShards {
            throw ConfigurationError(
                .moreRanksThanShards(ranks: ranks, shards: resolvedShards, batch: batch.size))
        }
    }

    /// Refuses an epoch with a batch in which a BN statistics group has exactly one value per
    /// channel: its variance is zero, and its output β whatever the sample is. Empty groups are
    /// fine, they take no part.
    ///
    /// - Parameter trainingSamples: those left after limit and validation.
    public func checkStatisticsGroups(trainingSamples: Int) throws(ConfigurationError) {
        guard case .batch(let normalization) = model.normalization,
            !model.hidden.isEmpty || model.placement == .inputs
        else { return }
        let shards = resolvedShards
        let shardsPerGroup =
            switch normalization.scope {
            case .global: shards
            case .group(let size): size
            case .shard: 1
            }
        let batches = stepsPerEpoch(trainingSamples: trainingSamples)
        let rest = trainingSamples % batch.size
        var sizes: [(batch: Int, samples: Int)] = []
        if trainingSamples >= batch.size { sizes.append((1, batch.size)) }
        if rest > 0, !data.dropLast { sizes.append((batches, rest)) }

        let groups = shards / shardsPerGroup
        for (number, samples) in sizes {
            // Shard i starts at sample ⌊i·samples/S⌋, a group where its first shard does.
            func start(_ group: Int) -> Int { group * shardsPerGroup * samples / shards }
            guard let group = (0..<groups).first(where: { start($0 + 1) - start($0) == 1 }) else {
                continue
            }
            throw ConfigurationError(
                .singleValueGroup(
                    ConfigurationError.SingleValueGroup(
                        batch: number, batches: batches, samples: samples, group: group + 1,
                        groups: groups,
                        remedies: remedies(
                            samples: samples, shardsPerGroup: shardsPerGroup, groups: groups,
                            canDrop: samples < batch.size && trainingSamples >= batch.size))))
        }
    }

    /// What gives each statistics group of a batch at least two samples.
    private func remedies(
        samples: Int, shardsPerGroup: Int, groups: Int, canDrop: Bool
    ) -> [String] {
        var remedies: [String] = []
        if canDrop { remedies.append("data.dropLast to true") }
        if groups > 1, samples >= 2 {
            let most = min(samples / 2, groups - 1) * shardsPerGroup
            let multiple = shardsPerGroup > 1 ? " (a multiple of \(shardsPerGroup))" : ""
            remedies.append("batch.shards to at most \(most)\(multiple)")
            remedies.append("model.normalization.scope to \"global\"")
        }
        if remedies.isEmpty { remedies.append("batch.size to another value, at least 2") }
        return remedies
    }

    /// Values that do not go together, and the keys they come from; nil if all do.
    var conflict: (problem: ConfigurationError.Problem, paths: [String])? {
        let shards = resolvedShards
        if shards > batch.size {
            return (
                .moreShardsThanSamples(shards: shards, batch: batch.size),
                [Keys.batchSize.path, Keys.shards.path]
            )
        }
        if case .batch(let normalization) = model.normalization,
            case .group(let group) = normalization.scope, shards % group != 0
        {
            return (
                .groupDoesNotDivide(group: group, shards: shards),
                [Keys.scope.path, Keys.shards.path, Keys.batchSize.path]
            )
        }
        if probes.path != nil, probes.everySteps == nil {
            return (
                .missingValue(
                    key: Keys.probeSteps.path, because: Keys.path.path,
                    what: "the steps from one point to the next"), [Keys.path.path]
            )
        }
        return optimizationConflict ?? dataConflict
    }

    /// What takes images beside a data set that has none.
    private var imageConflict: (problem: ConfigurationError.Problem, paths: [String])? {
        func conflict(
            _ key: String, _ setting: String, _ instead: String
        ) -> (problem: ConfigurationError.Problem, paths: [String]) {
            (
                .noImages(setting: setting, data: data.source.name, instead: instead),
                [key, Keys.dataName.path]
            )
        }
        let features = "set it to \"standardizeFeatures\", \"unit\" or \"none\""
        switch data.scaling {
        case .standardize:
            return conflict(Keys.scaling.path, "data.scaling \"standardize\"", features)
        case .fixed: return conflict(Keys.scaling.path, "data.scaling with mean and std", features)
        case .none, .unit, .standardizeFeatures, .whitened: break
        }
        if !data.augment.isEmpty {
            return conflict(Keys.augment.path, "data.augment", "remove it")
        }
        if data.testShift != nil {
            return conflict(Keys.testShift.path, "data.testShift", "remove it")
        }
        if model.name != .mlp {
            return conflict(
                Keys.modelName.path, "model.name \"\(model.name.rawValue)\"",
                "set it to \"mlp\"")
        }
        return nil
    }

    private var dataConflict: (problem: ConfigurationError.Problem, paths: [String])? {
        let channels = data.source.channels
        if case .fixed(let mean, let deviation) = data.scaling,
            mean.count != channels || deviation.count != channels
        {
            return (
                .scalingChannels(
                    means: mean.count, deviations: deviation.count, channels: channels),
                [Keys.scaling.path]
            )
        }
        switch data.scaling {
        case .standardizeFeatures where !data.augment.isEmpty:
            return (
                .featuresMoved("standardizeFeatures"), [Keys.scaling.path, Keys.augment.path]
            )
        case .whitened(let kind, _) where !data.augment.isEmpty:
            return (.featuresMoved(kind.rawValue), [Keys.scaling.path, Keys.augment.path])
        case .whitened(.pca, _) where model.name != .mlp:
            return (
                .componentsConvolved(model: model.name.rawValue),
                [Keys.scaling.path, Keys.modelName.path]
            )
        default: break
        }
        if case .twoFeatures = data.source, let conflict = imageConflict { return conflict }
        var available = data.limit
        if let samples = data.source.samples {
            if let limit = data.limit, limit > samples {
                return (
                    .limitTooLarge(limit: limit, samples: samples),
                    [Keys.limit.path, Keys.samples.path]
                )
            }
            available = data.limit ?? samples
        }
        if let available, data.validation >= available {
            return (
                .validationTooLarge(validation: data.validation, samples: available),
                [Keys.validation.path, Keys.limit.path, Keys.samples.path]
            )
        }
        return nil
    }
}
