import Foundation
import KernelReferences
import Kernels
import Layers
import Models
import Normalization
import TensorCore

/// A network in its readable form: module after module over the whole batch, in Float64, each value
/// in memory of its own. Images are NHWC, parameters as in files.
struct ReferenceNetwork {
    let specification: NetworkSpecification
    /// By name.
    var parameters: [String: [Double]]
    /// By module: running means and variances.
    var running: [String: (mean: [Double], variance: [Double])]
    var mode = Mode.training
    /// Samples that share statistics in training; by default all.
    var groups: [Range<Int>]
    var samples: Int
    /// Of dropout.
    var seed: UInt64 = 0
    var step = 0

    /// The network of a replica.
    init(_ specification: NetworkSpecification, _ replica: Replica, samples: Int) {
        self.specification = specification
        self.samples = samples
        groups = [0..<samples]
        parameters = Dictionary(
            uniqueKeysWithValues: replica.layout.parameters.map {
                ($0.name, replica.values(of: $0).map(Double.init))
            })
        running = Dictionary(
            uniqueKeysWithValues: replica.layout.statistics.map { entry in
                func values(_ range: Range<Int>) -> [Double] {
                    range.map { Double(replica.statistics[$0]) }
                }
                return (entry.name, (values(entry.mean), values(entry.variance)))
            })
    }

    private func parameter(_ node: NetworkSpecification.Node, _ suffix: String) -> [Double]? {
        parameters["\(node.name).\(suffix)"]
    }

    private func ordinal(ofNode index: Int) -> Int {
        specification.places(shards: 1)[index].ordinal
    }

    // MARK: modules that are tested by themselves

    private func matrix(_ values: [Double]) -> ReferenceMatrix {
        ReferenceMatrix(rows: samples, columns: values.count / samples, values: values)
    }

    private func context(_ node: NetworkSpecification.Node, _ index: Int) -> ReferenceContext {
        let prefix = node.name + "."
        let own = parameters.filter { $0.key.hasPrefix(prefix) }.map {
            (String($0.key.dropFirst(prefix.count)), $0.value)
        }
        return ReferenceContext(
            specification.places(shards: 1)[index],
            parameters: Dictionary(uniqueKeysWithValues: own),
            step: mode == .training ? step : nil, seed: seed)
    }

    // MARK: forward

    /// All values: the input, and what each node gives.
    func forward(_ input: [Double]) -> [[Double]] {
        var values = [input]
        for (index, node) in specification.nodes.enumerated() {
            let x = values[node.input]
            let addend = node.addend.map { values[$0] }
            values.append(forward(node, index, x, addend: addend))
        }
        return values
    }

    private func forward(
        _ node: NetworkSpecification.Node, _ index: Int, _ x: [Double], addend: [Double]?
    ) -> [Double] {
        let weight = parameter(node, "weight") ?? []
        let image = specification.extents[node.input]
        switch node.module {
        case let linear as Linear:
            let (inputs, outputs, positions) = (image.count, linear.outputs, image.positions)
            let bias = parameter(node, "bias")
            return (0..<samples * outputs).map { i in
                let (row, output) = (i / outputs * inputs, i % outputs * inputs)
                return (0..<inputs).reduce(bias?[i % outputs] ?? 0) {
                    $0 + x[row + Self.imageIndex($1, inputs, positions)] * weight[output + $1]
                }
            }
        case is BatchNorm:
            let channels = image.channels
            var y = x
            forEachChannel(node, x, channels: channels) { channel in
                for i in channel.indices {
                    y[i] = channel.scale * channel.normalized(x[i]) + channel.shift
                }
            }
            return y
        case let norm as GroupNorm:
            let (settings, channels, positions) = (norm.settings, image.channels, image.positions)
            let scale = weight.isEmpty ? Array(repeating: 1, count: channels) : weight
            let shift = parameter(node, "bias") ?? Array(repeating: 0, count: channels)
            return (0..<samples).flatMap {
                normalizeGroupsReference(
                    input: Array(x[$0 * channels * positions..<($0 + 1) * channels * positions]),
                    channels: channels, groups: settings.grouping.count(ofChannels: channels),
                    epsilon: settings.epsilon, scale: scale, shift: shift, activation: .identity
                ).output
            }
        case let activation as Activation:
            let kind = activation.kind
            let sum = addend.map { zip(x, $0).map(+) } ?? x
            return sum.map { activateReference($0, kind) }
        case let conv as Conv:
            let shape = conv.shape(over: image)
            let bias = parameter(node, "bias") ?? Array(repeating: 0, count: shape.outputChannels)
            return ConvolutionReference.forward(
                shape, images: samples, input: x, weight: weight, bias: bias)
        case let pool as MaxPool:
            let shape = pool.window.shape(over: image)
            let none = [Double](repeating: 0, count: samples * shape.outputCount)
            return PoolingReference.maximum(
                shape, images: samples, input: x, outputGradient: none
            ).output
        case let pool as AveragePool:
            let shape = pool.window.shape(over: image)
            let none = [Double](repeating: 0, count: samples * shape.outputCount)
            return PoolingReference.average(
                shape, images: samples, input: x, outputGradient: none
            ).output
        case is GlobalAveragePool:
            var y = [Double](repeating: 0, count: samples * image.channels)
            for i in x.indices { y[Self.pooled(i, image)] += x[i] / Double(image.positions) }
            return y
        case let shortcut as PaddedShortcut:
            let (channels, stride) = (shortcut.channels, shortcut.stride)
            var y = [Double](repeating: 0, count: samples * image.shortcutCount(channels, stride))
            image.forEachShortcut(samples, channels, stride) { y[$1] = x[$0] }
            return y
        case let dropout as Dropout:
            return zip(x, mask(index, dropout.rate, count: x.count)).map { $0 * $1 }
        case let noise as Noise:
            let (ordinal, channels) = (ordinal(ofNode: index), image.channels)
            return x.indices.map { i in
                let drawn = drawn(noise.distribution, ordinal, i, of: x.count, channels)
                return drawn.factor * x[i] + drawn.summand
            }
        case is Softmax: return softmax(x, image.channels)
        default: return node.module.reference(matrix(x), context(node, index)).values
        }
    }

    /// Each row's probabilities.
    private func softmax(_ x: [Double], _ classes: Int) -> [Double] {
        stride(from: 0, to: x.count, by: classes).flatMap { row in
            let logits = Array(x[row..<row + classes])
            return softmaxCrossEntropyReference(logits: logits, label: 0).probabilities
        }
    }

    /// Where input `index` of a product, which files count in the order C, H, W, lies in an image.
    private static func imageIndex(_ index: Int, _ inputs: Int, _ positions: Int) -> Int {
        index % positions * (inputs / positions) + index / positions
    }

    private static func pooled(_ index: Int, _ image: ImageShape) -> Int {
        index / image.count * image.channels + index % image.channels
    }

    /// One channel of one statistics group.
    private struct Channel {
        let number: Int
        let indices: [Int]
        let mean: Double
        let inverse: Double
        let scale: Double
        let shift: Double

        func normalized(_ x: Double) -> Double { (x - mean) * inverse }
    }

    private func forEachChannel(
        _ node: NetworkSpecification.Node, _ x: [Double], channels: Int, _ body: (Channel) -> Void
    ) {
        let size = x.count / samples
        let (scale, shift) = (parameter(node, "weight"), parameter(node, "bias"))
        for group in mode == .training ? groups : [0..<samples] where !group.isEmpty {
            for c in 0..<channels {
                let indices = Array(
                    stride(
                        from: group.lowerBound * size + c, to: group.upperBound * size, by: channels
                    ))
                let m = Double(indices.count)
                var mean = indices.reduce(0) { $0 + x[$1] } / m
                var variance = indices.reduce(0) { $0 + (x[$1] - mean) * (x[$1] - mean) } / m
                let isFrozen = specification.isFrozen(node.name)
                if mode == .inference || isFrozen, let running = running[node.name] {
                    (mean, variance) = (running.mean[c], running.variance[c])
                }
                let sum = variance + specification.normalization.epsilon
                body(
                    Channel(
                        number: c, indices: indices, mean: mean, inverse: 1 / sum.squareRoot(),
                        scale: scale?[c] ?? 1, shift: shift?[c] ?? 0))
            }
        }
    }

    /// 0 or 1 / (1 − rate), a pure function of seed, step, layer, sample and position.
    private func mask(_ index: Int, _ rate: Double, count: Int) -> [Double] {
        guard mode == .training else { return Array(repeating: 1, count: count) }
        let size = count / samples
        return (0..<count).map { i in
            let random = CounterRandom(
                seed: seed, purpose: .dropout, step: step, layer: index, sample: i / size)
            return random.uniform(at: i % size) < rate ? 0 : 1 / (1 - rate)
        }
    }

    /// s and m of value `index`, a pure function of seed, step, noise, sample and position.
    private func drawn(
        _ noise: Noise.Distribution, _ ordinal: Int, _ index: Int, of count: Int, _ channels: Int
    ) -> (factor: Double, summand: Double) {
        guard mode == .training else { return (1, 0) }
        func words(_ place: Int, _ block: Int) -> [Double] {
            let stream = CounterRandom(
                seed: seed, purpose: .noise, step: step, layer: ordinal, sample: place)
            let words = stream.words(block: UInt32(block))
            return (0..<4).map { Double(words[$0]) / 4_294_967_296 }
        }
        let (size, c) = (count / samples, index % channels)
        let channel = words(4_294_967_295, c / 2)
        let own = words(index / size, index % size / 2)
        let isSecond = index % size % 2
        let radius = (-2 * log(1 - own[0])).squareRoot()
        let normal = radius * (isSecond == 1 ? sin : cos)(2 * .pi * own[1])
        let mean = (2 * channel[c % 2 * 2] - 1) * noise.mean
        let deviation = 1 + channel[c % 2 * 2 + 1] * (noise.deviation - 1)
        return (
            deviation + noise.spread * normal,
            mean + noise.spread * (2 * own[2 + isSecond] - 1)
        )
    }

    // MARK: backward

    /// What `backward` gives.
    struct Gradients {
        var input: [Double]
        /// By name.
        var parameters: [String: [Double]] = [:]
    }

    /// The gradients of Σ outputGradient·output.
    func backward(_ values: [[Double]], _ outputGradient: [Double]) -> Gradients {
        var gradients = values.map { [Double](repeating: 0, count: $0.count) }
        gradients[values.count - 1] = outputGradient
        var result = Gradients(input: [])
        for (index, node) in specification.nodes.enumerated().reversed() {
            let (x, y) = (values[node.input], values[index + 1])
            let dx = backward(node, index, x, y, gradients[index + 1], &result.parameters)
            for target in [node.input, node.addend].compactMap({ $0 }) {
                for i in dx.indices { gradients[target][i] += dx[i] }
            }
        }
        result.input = gradients[0]
        return result
    }

    private func backward(
        _ node: NetworkSpecification.Node, _ index: Int, _ x: [Double], _ y: [Double],
        _ dy: [Double], _ parameters: inout [String: [Double]]
    ) -> [Double] {
        let weight = parameter(node, "weight") ?? []
        var dx = [Double](repeating: 0, count: x.count)
        func set(_ suffix: String, _ gradient: [Double]) {
            let name = "\(node.name).\(suffix)"
            if self.parameters[name] != nil { parameters[name] = gradient }
        }
        let image = specification.extents[node.input]
        switch node.module {
        case let linear as Linear:
            let (inputs, outputs, positions) = (image.count, linear.outputs, image.positions)
            var weightGradient = [Double](repeating: 0, count: weight.count)
            var biasGradient = [Double](repeating: 0, count: outputs)
            for (i, gradient) in dy.enumerated() {
                let (row, output) = (i / outputs * inputs, i % outputs * inputs)
                biasGradient[i % outputs] += gradient
                for k in 0..<inputs {
                    let source = row + Self.imageIndex(k, inputs, positions)
                    dx[source] += gradient * weight[output + k]
                    weightGradient[output + k] += gradient * x[source]
                }
            }
            set("weight", weightGradient)
            set("bias", biasGradient)
        case is BatchNorm:
            let channels = image.channels
            var scaleGradient = [Double](repeating: 0, count: channels)
            var shiftGradient = scaleGradient
            forEachChannel(node, x, channels: channels) { channel in
                let sum = channel.indices.reduce(0) { $0 + dy[$1] }
                let product = channel.indices.reduce(0) {
                    $0 + dy[$1] * channel.normalized(x[$1])
                }
                scaleGradient[channel.number] += product
                shiftGradient[channel.number] += sum
                let m = Double(channel.indices.count)
                let isFrozen = specification.isFrozen(node.name)
                for i in channel.indices {
                    let centred =
                        isFrozen
                        ? dy[i] : dy[i] - sum / m - channel.normalized(x[i]) * product / m
                    dx[i] = channel.scale * channel.inverse * centred
                }
            }
            set("weight", scaleGradient)
            set("bias", shiftGradient)
        case let norm as GroupNorm:
            let (settings, channels, positions) = (norm.settings, image.channels, image.positions)
            let scale = weight.isEmpty ? Array(repeating: 1, count: channels) : weight
            var scaleGradient = [Double](repeating: 0, count: channels)
            var shiftGradient = scaleGradient
            for sample in 0..<samples {
                let values = sample * channels * positions..<(sample + 1) * channels * positions
                let forward = normalizeGroupsReference(
                    input: Array(x[values]), channels: channels,
                    groups: settings.grouping.count(ofChannels: channels),
                    epsilon: settings.epsilon, scale: scale, shift: scaleGradient.map { _ in 0 },
                    activation: .identity)
                let backward = normalizeGroupsBackwardReference(
                    normalized: forward.normalized, inverseDeviation: forward.inverseDeviation,
                    output: forward.output, outputGradient: Array(dy[values]), channels: channels,
                    scale: scale, activation: .identity)
                dx.replaceSubrange(values, with: backward.inputGradient)
                for c in 0..<channels {
                    scaleGradient[c] += backward.scaleGradient[c]
                    shiftGradient[c] += backward.shiftGradient[c]
                }
            }
            set("weight", scaleGradient)
            set("bias", shiftGradient)
        case let activation as Activation:
            let kind = activation.kind
            return zip(y, dy).map {
                activateBackwardReference(output: $0, outputGradient: $1, kind)
            }
        case let conv as Conv:
            let shape = conv.shape(over: image)
            let result = ConvolutionReference.backward(
                shape, images: samples, input: x, weight: weight, outputGradient: dy)
            set("weight", result.weight)
            set("bias", result.bias)
            return result.input
        case let pool as MaxPool:
            let shape = pool.window.shape(over: image)
            return PoolingReference.maximum(
                shape, images: samples, input: x, outputGradient: dy
            ).inputGradient
        case let pool as AveragePool:
            let shape = pool.window.shape(over: image)
            return PoolingReference.average(
                shape, images: samples, input: x, outputGradient: dy
            ).inputGradient
        case is GlobalAveragePool:
            for i in dx.indices { dx[i] = dy[Self.pooled(i, image)] / Double(image.positions) }
        case let shortcut as PaddedShortcut:
            let (channels, stride) = (shortcut.channels, shortcut.stride)
            image.forEachShortcut(samples, channels, stride) { dx[$0] += dy[$1] }
        case let dropout as Dropout:
            return zip(dy, mask(index, dropout.rate, count: x.count)).map { $0 * $1 }
        case let noise as Noise:
            let (ordinal, channels) = (ordinal(ofNode: index), image.channels)
            return dy.indices.map {
                dy[$0] * drawn(noise.distribution, ordinal, $0, of: dy.count, channels).factor
            }
        case is Softmax:
            let classes = image.channels
            let p = softmax(x, classes)
            return p.indices.map { i in
                let row = i / classes * classes..<i / classes * classes + classes
                return p[i] * (dy[i] - row.reduce(0) { $0 + dy[$1] * p[$1] })
            }
        default:
            let result = node.module.referenceBackward(
                matrix(dy), input: matrix(x), output: matrix(y), context(node, index))
            for (name, values) in result.parameters { set(name, values) }
            return result.input.values
        }
        return dx
    }
}

extension ImageShape {
    /// Values of what a shortcut without parameters makes of one image.
    fileprivate func shortcutCount(_ channels: Int, _ stride: Int) -> Int {
        ((height - 1) / stride + 1) * ((width - 1) / stride + 1) * channels
    }

    /// Calls `body` with the places of each value that a shortcut takes and where it puts it.
    fileprivate func forEachShortcut(
        _ samples: Int, _ channels: Int, _ stride: Int, _ body: (_ from: Int, _ to: Int) -> Void
    ) {
        let padding = (channels - self.channels) / 2
        var pixel = 0
        for sample in 0..<samples {
            for h in Swift.stride(from: 0, to: height, by: stride) {
                for w in Swift.stride(from: 0, to: width, by: stride) {
                    for c in 0..<self.channels {
                        body(
                            ((sample * height + h) * width + w) * self.channels + c,
                            pixel * channels + padding + c)
                    }
                    pixel += 1
                }
            }
        }
    }
}
