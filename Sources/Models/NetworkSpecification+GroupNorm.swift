public import Normalization

extension NetworkSpecification {
    /// The same network with its batch normalisations replaced by normalisations of each sample by
    /// itself: same places, same names, no running statistics.
    ///
    /// - Throws: `ModelError` where channels do not divide into the groups, or a group would be one
    ///   value.
    public func normalizingSamples(
        _ settings: GroupNormSettings
    ) throws(ModelError) -> NetworkSpecification {
        var replaced: [Node] = []
        for node in nodes {
            guard case .batchNorm(let channels, let positions, let startsAtZero) = node.module
            else {
                replaced.append(node)
                continue
            }
            let groups = settings.grouping.count(ofChannels: channels)
            guard channels % groups == 0 else {
                throw .groupsDoNotDivide(
                    layer: node.name, channels: channels, groups: groups,
                    largest: largestGroups(upTo: groups))
            }
            guard channels / groups * positions > 1 else {
                throw .singleValueGroup(layer: node.name, groups: groups)
            }
            replaced.append(
                Node(
                    name: node.name,
                    module: .groupNorm(
                        settings, channels: channels, positions: positions,
                        startsAtZero: startsAtZero), input: node.input, addend: node.addend))
        }
        var result = NetworkSpecification(
            name: name, input: input, classes: classes, nodes: replaced,
            normalization: normalization)
        result.frozen = frozen
        return result
    }

    /// How the network normalises each sample by itself; nil where it does not.
    public var groupNormalization: GroupNormSettings? {
        for node in nodes {
            if case .groupNorm(let settings, _, _, _) = node.module { return settings }
        }
        return nil
    }

    /// The largest number of groups that the channels of every batch normalisation divide into.
    private func largestGroups(upTo most: Int) -> Int {
        let channels = nodes.compactMap {
            if case .batchNorm(let channels, _, _) = $0.module { channels } else { nil }
        }
        return (1...most).last { groups in channels.allSatisfy { $0 % groups == 0 } } ?? 1
    }
}
