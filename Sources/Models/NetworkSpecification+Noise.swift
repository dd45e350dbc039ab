public import Layers
import Normalization

extension NetworkSpecification {
    /// The same network with noise behind every batch normalisation; the names of all other modules
    /// stay, and so do files.
    public func addingNoise(_ distribution: Noise.Distribution) -> NetworkSpecification {
        var changed: [Node] = []
        /// By value of this network, that of the new one.
        var values = [0]
        for node in nodes {
            changed.append(
                Node(
                    name: node.name, module: node.module, input: values[node.input],
                    addend: node.addend.map { values[$0] }))
            if node.module is BatchNorm {
                changed.append(
                    Node(
                        name: "\(node.name).noise", module: Noise(distribution),
                        input: changed.count))
            }
            values.append(changed.count)
        }
        var result = NetworkSpecification(
            name: name, input: input, classes: classes, nodes: changed)
        result.frozen = frozen
        return result
    }
}
