import Kernels

/// output = input · weight + bias in Float64, as in the textbook.
///
/// - Parameters:
///   - input: [rows, inputs]
///   - weight: [inputs, outputs]
///   - bias: [outputs], or nil
/// - Returns: [rows, outputs]
package func innerProductReference(
    input: [Double], weight: [Double], bias: [Double]?, rows: Int, inputs: Int, outputs: Int
) -> [Double] {
    var output = [Double](repeating: 0, count: rows * outputs)
    for row in 0..<rows {
        for column in 0..<outputs {
            var sum = bias?[column] ?? 0
            for index in 0..<inputs {
                sum += input[row * inputs + index] * weight[index * outputs + column]
            }
            output[row * outputs + column] = sum
        }
    }
    return output
}

/// The gradients of `innerProductReference` in Float64.
///
/// - Parameter outputGradient: [rows, outputs]
/// - Returns: inputGradient [rows, inputs], weightGradient [inputs, outputs], biasGradient [outputs]
package func innerProductReferenceBackward(
    input: [Double], weight: [Double], outputGradient: [Double], rows: Int, inputs: Int,
    outputs: Int
) -> (inputGradient: [Double], weightGradient: [Double], biasGradient: [Double]) {
    var inputGradient = [Double](repeating: 0, count: rows * inputs)
    var weightGradient = [Double](repeating: 0, count: inputs * outputs)
    var biasGradient = [Double](repeating: 0, count: outputs)
    for row in 0..<rows {
        for column in 0..<outputs {
            let gradient = outputGradient[row * outputs + column]
            biasGradient[column] += gradient
            for index in 0..<inputs {
                inputGradient[row * inputs + index] += gradient * weight[index * outputs + column]
                weightGradient[index * outputs + column] += gradient * input[row * inputs + index]
            }
        }
    }
    return (inputGradient, weightGradient, biasGradient)
}

/// `panelProduct` in its readable form.
package func panelProductReference(
    _ a: [Double], rows: Int, inner: Int, panel b: [Double], bias: [Double]?
) -> [Double] {
    innerProductReference(
        input: a, weight: b, bias: bias, rows: rows, inputs: inner, outputs: panelWidth)
}
