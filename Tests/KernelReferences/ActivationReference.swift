import Foundation
package import Kernels

/// One value of `activate`, in Float64.
package func activateReference(_ z: Double, _ activation: ActivationKind) -> Double {
    switch activation {
    case .identity: z
    case .sigmoid: 1 / (1 + exp(-z))
    case .tanh: Foundation.tanh(z)
    case .relu: z < 0 ? 0 : z
    }
}

/// One value of `activateBackward`, in Float64.
package func activateBackwardReference(
    output: Double, outputGradient: Double, _ activation: ActivationKind
) -> Double {
    switch activation {
    case .identity: outputGradient
    case .sigmoid: outputGradient * output * (1 - output)
    case .tanh: outputGradient * (1 - output * output)
    case .relu: output <= 0 ? 0 : outputGradient
    }
}
