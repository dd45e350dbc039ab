import Glibc
import Kernels
import Layers
import TensorCore

// The layers for images as formulas in Float64, f beside fBackward, independent of every kernel.
// A matrix holds [samples, H·W·C].

extension ConvolutionShape {
    /// Calls `body` for each pixel under each output pixel of one image and group of channels: where
    /// the output's channels start, the input's, and the kernel's position.
    fileprivate func forEachTap(
        _ body: (_ output: Int, _ input: Int, _ tap: Int) -> Void
    ) {
        for y in 0..<outputHeight {
            for x in 0..<outputWidth {
                for r in 0..<kernelHeight {
                    let row = y * strideHeight + r * dilationHeight - paddingHeight
                    guard row >= 0 && row < inputHeight else { continue }
                    for s in 0..<kernelWidth {
                        let column = x * strideWidth + s * dilationWidth - paddingWidth
                        guard column >= 0 && column < inputWidth else { continue }
                        body(
                            (y * outputWidth + x) * outputChannels,
                            (row * inputWidth + column) * inputChannels, r * kernelWidth + s)
                    }
                }
            }
        }
    }

    /// Channels of a group, in and out, and taps of a kernel.
    fileprivate var extent: (inputs: Int, outputs: Int, taps: Int) {
        (inputChannels / groups, outputChannels / groups, kernelHeight * kernelWidth)
    }

    /// The file's [K, C / groups, R, S] as [groups, R·S, C / groups, K / groups], and back: the
    /// innermost loops then run along memory.
    fileprivate func reordered(_ weight: [Double], back: Bool) -> [Double] {
        let (inputs, outputs, taps) = extent
        var result = weight
        for group in 0..<groups {
            for k in 0..<outputs {
                for c in 0..<inputs {
                    for tap in 0..<taps {
                        let file = ((group * outputs + k) * inputs + c) * taps + tap
                        let memory = ((group * taps + tap) * inputs + c) * outputs + k
                        if back {
                            result[file] = weight[memory]
                        } else {
                            result[memory] = weight[file]
                        }
                    }
                }
            }
        }
        return result
    }
}

/// output[k] = bias[k] + Σ input[c]·weight[k, c, r, s] under each output pixel.
func referenceConvolution(
    _ input: ReferenceMatrix, _ shape: ConvolutionShape, weight: [Double], bias: [Double]?
) -> ReferenceMatrix {
    let (inputs, outputs, taps) = shape.extent
    let w = shape.reordered(weight, back: false)
    var output = ReferenceMatrix(rows: input.rows, columns: shape.outputCount)
    output.values.withUnsafeMutableBufferPointer { y in
        if let bias {
            for i in y.indices { y[i] = bias[i % shape.outputChannels] }
        }
        for sample in 0..<input.rows {
            let (start, end) = (sample * shape.inputCount, sample * shape.outputCount)
            for group in 0..<shape.groups {
                shape.forEachTap { to, from, tap in
                    let (to, from) = (end + to + group * outputs, start + from + group * inputs)
                    for c in 0..<inputs {
                        let value = input.values[from + c]
                        let row = ((group * taps + tap) * inputs + c) * outputs
                        for k in 0..<outputs { y[to + k] += value * w[row + k] }
                    }
                }
            }
        }
    }
    return output
}

/// The gradients of input, weight and bias, of g = `outputGradient`.
func referenceConvolutionBackward(
    _ outputGradient: ReferenceMatrix, input: ReferenceMatrix, _ shape: ConvolutionShape,
    weight: [Double]
) -> (inputGradient: ReferenceMatrix, weightGradient: [Double], biasGradient: [Double]) {
    let (inputs, outputs, taps) = shape.extent
    let w = shape.reordered(weight, back: false)
    let g = outputGradient.values
    var inputGradient = ReferenceMatrix(rows: input.rows, columns: shape.inputCount)
    var weightGradient = [Double](repeating: 0, count: weight.count)
    inputGradient.values.withUnsafeMutableBufferPointer { dx in
        weightGradient.withUnsafeMutableBufferPointer { dw in
            for sample in 0..<input.rows {
                let (start, end) = (sample * shape.inputCount, sample * shape.outputCount)
                for group in 0..<shape.groups {
                    shape.forEachTap { to, from, tap in
                        let (to, from) = (
                            end + to + group * outputs, start + from + group * inputs
                        )
                        for c in 0..<inputs {
                            let value = input.values[from + c]
                            let row = ((group * taps + tap) * inputs + c) * outputs
                            var sum = 0.0
                            for k in 0..<outputs {
                                dw[row + k] += value * g[to + k]
                                sum += w[row + k] * g[to + k]
                            }
                            dx[from + c] += sum
                        }
                    }
                }
            }
        }
    }
    var biasGradient = [Double](repeating: 0, count: shape.outputChannels)
    for (i, value) in g.enumerated() { biasGradient[i % shape.outputChannels] += value }
    return (inputGradient, shape.reordered(weightGradient, back: true), biasGradient)
}

/// Calls `body` with each sample's windows: the pixels of one channel, and its output.
private func forEachWindow(
    _ shape: PoolingShape, samples: Int, _ body: (_ inputs: [Int], _ output: Int) -> Void
) {
    for sample in 0..<samples {
        for y in 0..<shape.outputHeight {
            for x in 0..<shape.outputWidth {
                for c in 0..<shape.channels {
                    var inputs: [Int] = []
                    for r in 0..<shape.kernelHeight {
                        for s in 0..<shape.kernelWidth {
                            let row = y * shape.strideHeight + r - shape.paddingHeight
                            let column = x * shape.strideWidth + s - shape.paddingWidth
                            guard
                                row >= 0 && row < shape.inputHeight && column >= 0
                                    && column < shape.inputWidth
                            else { continue }
                            inputs.append(
                                sample * shape.inputCount
                                    + (row * shape.inputWidth + column) * shape.channels + c)
                        }
                    }
                    body(
                        inputs,
                        sample * shape.outputCount + (y * shape.outputWidth + x) * shape.channels
                            + c)
                }
            }
        }
    }
}

/// The largest value of each window.
func referenceMaxPool(_ input: ReferenceMatrix, _ shape: PoolingShape) -> ReferenceMatrix {
    var output = ReferenceMatrix(rows: input.rows, columns: shape.outputCount)
    forEachWindow(shape, samples: input.rows) { inputs, index in
        output.values[index] = inputs.map { input.values[$0] }.max() ?? 0
    }
    return output
}

/// Each window's gradient goes to the first of its largest values.
func referenceMaxPoolBackward(
    _ outputGradient: ReferenceMatrix, input: ReferenceMatrix, _ shape: PoolingShape
) -> ReferenceMatrix {
    var inputGradient = ReferenceMatrix(rows: input.rows, columns: shape.inputCount)
    forEachWindow(shape, samples: input.rows) { inputs, index in
        guard var best = inputs.first else { return }
        for i in inputs where input.values[i] > input.values[best] { best = i }
        inputGradient.values[best] += outputGradient.values[index]
    }
    return inputGradient
}

/// The mean of each window, padding counted as zeros.
func referenceAveragePool(_ input: ReferenceMatrix, _ shape: PoolingShape) -> ReferenceMatrix {
    var output = ReferenceMatrix(rows: input.rows, columns: shape.outputCount)
    let area = Double(shape.kernelHeight * shape.kernelWidth)
    forEachWindow(shape, samples: input.rows) { inputs, index in
        output.values[index] = inputs.reduce(0) { $0 + input.values[$1] } / area
    }
    return output
}

/// Each window's gradient over its area, to all of its pixels.
func referenceAveragePoolBackward(
    _ outputGradient: ReferenceMatrix, _ shape: PoolingShape
) -> ReferenceMatrix {
    var inputGradient = ReferenceMatrix(
        rows: outputGradient.rows, columns: shape.inputCount)
    let area = Double(shape.kernelHeight * shape.kernelWidth)
    forEachWindow(shape, samples: outputGradient.rows) { inputs, index in
        for i in inputs { inputGradient.values[i] += outputGradient.values[index] / area }
    }
    return inputGradient
}

/// For each value of the narrower, wider image: where it comes from; nil for a zero.
private func shortcutSources(_ input: ImageShape, channels: Int, stride: Int) -> [Int?] {
    let height = (input.height + stride - 1) / stride
    let width = (input.width + stride - 1) / stride
    let padding = (channels - input.channels) / 2
    return (0..<height * width * channels).map { index in
        let (pixel, channel) = (index / channels, index % channels - padding)
        guard channel >= 0 && channel < input.channels else { return nil }
        let (row, column) = (pixel / width * stride, pixel % width * stride)
        return (row * input.width + column) * input.channels + channel
    }
}

/// Every `stride`-th pixel, with zeros for the new channels on both sides.
func referencePaddedShortcut(
    _ x: ReferenceMatrix, _ input: ImageShape, channels: Int, stride: Int
) -> ReferenceMatrix {
    let sources = shortcutSources(input, channels: channels, stride: stride)
    return ReferenceMatrix(
        rows: x.rows, columns: sources.count,
        values: (0..<x.rows).flatMap { row in sources.map { $0.map { x[row, $0] } ?? 0 } })
}

/// The gradient of the pixels that were taken; the others have none.
func referencePaddedShortcutBackward(
    _ outputGradient: ReferenceMatrix, _ input: ImageShape, channels: Int, stride: Int
) -> ReferenceMatrix {
    var inputGradient = ReferenceMatrix(rows: outputGradient.rows, columns: input.count)
    for (index, source) in shortcutSources(input, channels: channels, stride: stride).enumerated() {
        guard let source else { continue }
        for row in 0..<outputGradient.rows {
            inputGradient[row, source] = outputGradient[row, index]
        }
    }
    return inputGradient
}

/// 0, or 1 / (1 − rate), for each value of a batch in step `step`: see `Dropout`.
func referenceDropoutMask(
    rows: Int, columns: Int, rate: Double, seed: UInt64, ordinal: Int, step: Int
) -> ReferenceMatrix {
    var mask = ReferenceMatrix(rows: rows, columns: columns)
    for row in 0..<rows {
        let random = CounterRandom(
            seed: seed, purpose: .dropout, step: step, layer: ordinal, sample: row)
        for column in 0..<columns {
            mask[row, column] = random.uniform(at: column) < rate ? 0 : 1 / (1 - rate)
        }
    }
    return mask
}

/// What each value of a batch is multiplied by in step `step`, and what is added: see `Noise`.
func referenceNoise(
    rows: Int, columns: Int, channels: Int, _ distribution: Noise.Distribution, seed: UInt64,
    ordinal: Int, step: Int
) -> (factor: ReferenceMatrix, summand: ReferenceMatrix) {
    func stream(_ sample: Int) -> CounterRandom {
        CounterRandom(seed: seed, purpose: .noise, step: step, layer: ordinal, sample: sample)
    }
    func interval(_ low: Double, _ high: Double, _ random: CounterRandom, _ place: Int) -> Double {
        random.uniform(in: low...high, at: place)
    }
    let (ofChannels, spread) = (stream(CounterRandom.noSample), distribution.spread)
    var factor = ReferenceMatrix(rows: rows, columns: columns)
    var summand = factor
    for row in 0..<rows {
        let random = stream(row)
        for column in 0..<columns {
            let c = column % channels
            let mean = interval(-distribution.mean, distribution.mean, ofChannels, 2 * c)
            let deviation = interval(1, distribution.deviation, ofChannels, 2 * c + 1)
            // Four numbers serve two columns.
            let start = column / 2 * 4
            let angle = 2 * Double.pi * random.uniform(at: start + 1)
            let normal =
                (-2 * log(1 - random.uniform(at: start))).squareRoot()
                * (column % 2 == 0 ? cos(angle) : sin(angle))
            factor[row, column] = deviation + spread * normal
            summand[row, column] =
                mean + interval(-spread, spread, random, start + 2 + column % 2)
        }
    }
    return (factor, summand)
}
