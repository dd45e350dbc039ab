public import TensorCore

/// A fully connected layer: y = x·Wᵀ + b, over all values of a sample.
///
/// - weight [out, in], bias [out] or none; behind an image inputs count in the order C, H, W, as
///   PyTorch's Flatten has them
public struct Linear: Module {
    /// Values of a sample's output, out.
    public var outputs: Int
    /// Whether there is a b.
    public var bias: Bool

    /// A fully connected layer.
    public init(_ outputs: Int, bias: Bool = true) {
        self.outputs = outputs
        self.bias = bias
    }

    /// 1×1×out.
    public func output(of input: ImageShape) -> ImageShape {
        ImageShape(height: 1, width: 1, channels: outputs)
    }

    /// Weight and bias.
    public func tensors(at place: ModulePlace) -> [ModelLayout.Declaration] {
        let positions = place.input.positions
        let weight = ModelLayout.Declaration.parameter(
            name: "weight", shape: [outputs, place.input.count], role: .weight, isReduced: true,
            storage: place.readsNetworkInput && InputLinearLayer.suits(outputs: outputs)
                ? .panels(positions: positions) : .transposed(positions: positions))
        guard bias else { return [weight] }
        return [
            weight, .parameter(name: "bias", shape: [outputs], role: .bias, isReduced: true),
        ]
    }

    /// In, out.
    public func multiplyAdds(of input: ImageShape) -> Int { input.count * outputs }

    /// At a network's input one of few outputs is an `InputLinearLayer`.
    public func layer(at place: ModulePlace, _ worker: WorkerContext) throws -> any Layer {
        let weight = worker.parameter("weight", of: place)
        let bias = worker.parameter("bias", of: place, if: bias)
        if case .panels = weight.storage {
            return try InputLinearLayer(
                name: place.name, weight: weight, bias: bias, replica: worker.replica,
                gradients: worker.gradients, shapes: worker.shapes,
                sharesInputs: worker.sharesInputs && place.isOnlyReader)
        }
        return LinearLayer(
            name: place.name, weight: weight, bias: bias,
            needsInputGradient: !place.readsNetworkInput, replica: worker.replica,
            gradients: worker.gradients, shapes: worker.shapes)
    }

    // MARK: reference

    /// y = x·Wᵀ + b.
    public func reference(
        _ input: ReferenceMatrix, _ context: ReferenceContext
    ) -> ReferenceMatrix {
        let x = input.channelsFirst(positions: context.place.input.positions)
        var output = x * weight(context).transposed
        guard let bias = context.parameters["bias"] else { return output }
        for i in 0..<output.rows {
            for j in 0..<output.columns { output[i, j] += bias[j] }
        }
        return output
    }

    /// dx = dy·W, dW = dyᵀ·x, db = Σ dy.
    public func referenceBackward(
        _ outputGradient: ReferenceMatrix, input: ReferenceMatrix, output: ReferenceMatrix,
        _ context: ReferenceContext
    ) -> ReferenceGradients {
        let positions = context.place.input.positions
        let x = input.channelsFirst(positions: positions)
        return ReferenceGradients(
            (outputGradient * weight(context)).channelsLast(positions: positions),
            [
                "weight": (outputGradient.transposed * x).values,
                "bias": outputGradient.columnSums,
            ])
    }

    private func weight(_ context: ReferenceContext) -> ReferenceMatrix {
        ReferenceMatrix(
            rows: outputs, columns: context.place.input.count,
            values: context.parameters["weight"] ?? [])
    }
}
