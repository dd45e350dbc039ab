import CPlatform
public import TensorCore

extension InputScaling {
    /// Writes the selected samples as Float32 into `batch`, one after the other.
    ///
    /// The batch has a row a sample, or a row a pixel: either way sample i begins
    /// i · features values after the start. Allocates nothing.
    ///
    /// - Parameters:
    ///   - batch: [≥ n, features] or [≥ n · height · width, channels]; the rest stays as it is.
    ///   - samples: the view that `indices` count in.
    ///   - indices: samples of the view, in the order wanted. [n]
    public func fill(_ batch: Tensor, from samples: SampleView, at indices: Span<Int32>) {
        checkRoom(in: batch, for: indices.count, of: samples)
        if let whitening {
            whitening.fill(batch, from: samples, count: indices.count) { Int(indices[$0]) }
            return
        }
        for position in indices.indices {
            // Four rows ahead: some 100 ns a row, about the latency of main memory.
            if position + 4 < indices.count {
                samples.prefetch(Int(indices[position + 4]))
            }
            fill(position, of: batch, from: samples, sample: Int(indices[position]))
        }
    }

    /// Writes consecutive samples, as an evaluation takes them.
    public func fill(_ batch: Tensor, from samples: SampleView, at range: Range<Int>) {
        checkRoom(in: batch, for: range.count, of: samples)
        if let whitening {
            whitening.fill(batch, from: samples, count: range.count) { range.lowerBound + $0 }
            return
        }
        for (position, sample) in range.enumerated() {
            fill(position, of: batch, from: samples, sample: sample)
        }
    }

    func checkRoom(in batch: Tensor, for count: Int, of samples: SampleView) {
        let features = samples.dataset.features
        precondition(features % batch.columns == 0, "the batch has other columns than the samples")
        precondition(count * features <= batch.rows * batch.columns, "the batch is too small")
        let values = whitening?.features ?? scale.count
        precondition(
            [samples.dataset.channels, features].contains(values), "scaled for other channels")
    }

    private func fill(
        _ position: Int, of batch: Tensor, from samples: SampleView, sample: Int
    ) {
        let features = samples.dataset.features
        let target = batch.pointer + position * features
        samples.dataset.images.withUnsafeBufferPointer { images in
            guard let base = images.baseAddress else { return }
            let source = base + samples.place(of: sample) * features
            scaleBytes(source, into: target, count: features)
        }
    }

    /// target = source · scale + offset; element i belongs to channel i mod C.
    func scaleBytes(
        _ source: UnsafePointer<UInt8>, into target: UnsafeMutablePointer<Float>, count: Int
    ) {
        if scale.count == 1 {
            // The compiler makes vectors of this by itself, four times as fast as the lanes below,
            // whose conversion from bytes it calls instead of inlining.
            let (scale, offset) = (scale[0], offset[0])
            for index in 0..<count {
                target[index] = offset.addingProduct(scale, Float(source[index]))
            }
            return
        }
        let bytes = UnsafeRawPointer(source)
        let values = UnsafeMutableRawPointer(target)
        let channels = scale.count
        precondition(channels > 0, "whitened samples are not scaled byte by byte")
        let whole = count & ~15
        scaleLanes.withUnsafeBufferPointer { scales in
            offsetLanes.withUnsafeBufferPointer { offsets in
                var turn = 0
                for index in stride(from: 0, to: whole, by: 16) {
                    let lanes = SIMD16<Float>(
                        bytes.loadUnaligned(fromByteOffset: index, as: SIMD16<UInt8>.self))
                    values.storeBytes(
                        of: offsets[turn].addingProduct(scales[turn], lanes),
                        toByteOffset: index * 4, as: SIMD16<Float>.self)
                    turn = turn + 1 == channels ? 0 : turn + 1
                }
            }
        }
        for index in whole..<count {
            let channel = index % channels
            target[index] = offset[channel].addingProduct(scale[channel], Float(source[index]))
        }
    }
}

extension SampleView {
    /// Brings the pixels of sample `index` near.
    func prefetch(_ index: Int) {
        let features = dataset.features
        dataset.images.withUnsafeBufferPointer { images in
            guard let base = images.baseAddress else { return }
            bn_prefetch(base + place(of: index) * features, Int64(features))
        }
    }
}
