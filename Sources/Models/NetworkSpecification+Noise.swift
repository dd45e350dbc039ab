public import Layers

extension NetworkSpecification {
    /// The same network with noise behind every batch normalisation; the names of all other modules
    /// stay, and so do files.
    public func addingNoise(_ distribution: Noise.Distribution) -> NetworkSpecification {
        var changed: [Node] = []
        /// By value of this network, that of the new one.
        var values = [0]
        var ordinal = 0
        for node in nodes {
            changed.append(
                Node(
                    name: node.name, module: node.module, input: values[node.input],
                    addend: node.addend.map { values[$0] }))
            if case .batchNorm(let channels, let positions, _) = node.module {
                changed.append(
                    Node(
                        name: "\(node.name).noise",
                        module: .noise(
                            distribution, ordinal: ordinal, channels: channels,
                            positions: positions), input: changed.count))
                ordinal += 1
            }
            values.append(changed.count)
        }
        var result = NetworkSpecification(
            name: name, input: input, classes: classes, nodes: changed,
            normalization: normalization)
        result.frozen = frozen
        return result
    }
}
