import Foundation

/// `sgdUpdate` in its readable form.
///
/// - Parameters:
///   - parameters: w, [count]
///   - gradient: [count]
///   - velocity: v, [count]; nil before the first step, and afterwards if momentum is 0.
package func sgdUpdateReference(
    parameters: inout [Double], gradient: [Double], velocity: inout [Double]?,
    learningRate: Double, momentum: Double, nesterov: Bool, weightDecay: Double
) {
    let g = zip(gradient, parameters).map { $0 + weightDecay * $1 }
    var direction = g
    if momentum != 0 {
        let v = velocity.map { zip($0, g).map { momentum * $0 + $1 } } ?? g
        direction = nesterov ? zip(g, v).map { $0 + momentum * $1 } : v
        velocity = v
    }
    for i in parameters.indices { parameters[i] -= learningRate * direction[i] }
}

/// `adamUpdate` in its readable form.
///
/// - Parameters:
///   - parameters: w, [count]
///   - gradient: [count]
///   - firstMoment: m, [count], zeros before step 1.
///   - secondMoment: v, [count], zeros before step 1.
///   - step: t, from 1 on.
package func adamUpdateReference(
    parameters: inout [Double], gradient: [Double], firstMoment: inout [Double],
    secondMoment: inout [Double], step: Int, learningRate: Double, beta1: Double, beta2: Double,
    epsilon: Double, weightDecay: Double, decoupled: Bool
) {
    for i in parameters.indices {
        let g = gradient[i] + (decoupled ? 0 : weightDecay * parameters[i])
        if decoupled { parameters[i] -= learningRate * weightDecay * parameters[i] }
        firstMoment[i] = beta1 * firstMoment[i] + (1 - beta1) * g
        secondMoment[i] = beta2 * secondMoment[i] + (1 - beta2) * g * g
        let mean = firstMoment[i] / (1 - pow(beta1, Double(step)))
        let square = secondMoment[i] / (1 - pow(beta2, Double(step)))
        parameters[i] -= learningRate * mean / (square.squareRoot() + epsilon)
    }
}

/// `larsUpdate` and `larsLocalRate` in their readable form, for one whole tensor.
///
/// - Parameters:
///   - parameters: w, [count]
///   - gradient: [count]
///   - velocity: v, [count], zeros before the first step.
package func larsUpdateReference(
    parameters: inout [Double], gradient: [Double], velocity: inout [Double],
    learningRate: Double, momentum: Double, trustCoefficient: Double, weightDecay: Double,
    epsilon: Double
) {
    func norm(_ values: [Double]) -> Double { values.reduce(0) { $0 + $1 * $1 }.squareRoot() }
    let (w, g) = (norm(parameters), norm(gradient))
    let local = w == 0 || g == 0 ? 1 : trustCoefficient * w / (g + weightDecay * w + epsilon)
    for i in parameters.indices {
        velocity[i] =
            momentum * velocity[i]
            + learningRate * local * (gradient[i] + weightDecay * parameters[i])
        parameters[i] -= velocity[i]
    }
}
