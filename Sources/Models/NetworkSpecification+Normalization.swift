import Layers
public import Normalization
import TensorCore

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
            guard let batchNorm = node.module as? BatchNorm else {
                replaced.append(node)
                continue
            }
            let module = GroupNorm(settings, startsAtZero: batchNorm.startsAtZero)
            do {
                _ = try module.output(of: extents[node.input])
            } catch .groupsDoNotDivide(channels: let channels, groups: let groups) {
                throw .groupsDoNotDivide(
                    layer: node.name, channels: channels, groups: groups,
                    largest: largestGroups(upTo: groups))
            } catch {
                throw ModelError(error, layer: node.name, of: self)
            }
            replaced.append(
                Node(name: node.name, module: module, input: node.input, addend: node.addend))
        }
        var result = NetworkSpecification(
            name: name, input: input, classes: classes, nodes: replaced)
        result.frozen = frozen
        return result
    }

    /// The same network with batch normalisations that work otherwise, and nothing frozen.
    public func normalizing(_ settings: BatchNormSettings) -> NetworkSpecification {
        NetworkSpecification(
            name: name, input: input, classes: classes,
            nodes: nodes.map { node in
                guard let batchNorm = node.module as? BatchNorm else { return node }
                return Node(
                    name: node.name,
                    module: BatchNorm(settings, startsAtZero: batchNorm.startsAtZero),
                    input: node.input, addend: node.addend)
            })
    }

    /// How the network normalises each sample by itself; nil where it does not.
    public var groupNormalization: GroupNormSettings? {
        nodes.lazy.compactMap { $0.module as? GroupNorm }.first?.settings
    }

    /// The largest number of groups that the channels of every batch normalisation divide into.
    private func largestGroups(upTo most: Int) -> Int {
        let channels = nodes.filter { $0.module is BatchNorm }.map { extents[$0.input].channels }
        return (1...most).last { groups in channels.allSatisfy { $0 % groups == 0 } } ?? 1
    }
}
