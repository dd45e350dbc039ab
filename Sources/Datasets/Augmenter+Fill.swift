public import TensorCore

extension Augmenter {
    /// Writes the selected samples, augmented as in `epoch`, as Float32 into `batch`: bytes are
    /// decoded, moved and scaled in one pass.
    ///
    /// - Parameters:
    ///   - batch: [≥ n, features] or [≥ n · height · width, channels]; the rest stays as it is.
    ///   - samples: the view that `indices` count in.
    ///   - indices: samples of the view, in the order wanted. [n]
    ///   - epoch: from 1.
    ///   - scaling: how bytes become inputs.
    public func fill(
        _ batch: Tensor, from samples: SampleView, at indices: Span<Int32>, epoch: Int,
        scaling: InputScaling
    ) {
        scaling.checkRoom(in: batch, for: indices.count, of: samples)
        let dataset = samples.dataset
        withUnsafeTemporaryAllocation(of: PixelRectangle.self, capacity: Self.mostSteps) { holes in
            for position in indices.indices {
                if position + 4 < indices.count {
                    samples.prefetch(Int(indices[position + 4]))
                }
                let index = samples.place(of: Int(indices[position]))
                let placement = draw(sample: index, epoch: epoch, holes: holes)
                placement.write(
                    dataset, sample: index, holes: holes, scaling: scaling,
                    into: batch.pointer + position * dataset.features)
            }
        }
    }

    /// What all augmentations together do to a sample; the first `holeCount` of `holes` are set.
    private func draw(
        sample: Int, epoch: Int, holes: UnsafeMutableBufferPointer<PixelRectangle>
    ) -> ImagePlacement {
        let random = CounterRandom(
            seed: seed, purpose: .augmentation, epoch: epoch, sample: sample)
        var placement = ImagePlacement(height: height, width: width)
        for (number, step) in steps.enumerated() {
            let words = random.words(block: UInt32(number))
            switch step {
            case .padCrop(let padding):
                placement.move(
                    down: integer(words[0], below: 2 * padding + 1) - padding,
                    right: integer(words[1], below: 2 * padding + 1) - padding, holes)
            case .flip:
                if words[0] >> 31 == 1 { placement.mirror(holes) }
            case .cutout(let size):
                placement.cut(
                    top: integer(words[0], below: height) - size / 2,
                    left: integer(words[1], below: width) - size / 2, size: size, holes)
            }
        }
        return placement
    }

    /// 0 ..< bound; as `CounterRandom.integer`.
    private func integer(_ word: UInt32, below bound: Int) -> Int {
        Int((UInt64(word) * UInt64(bound)) >> 32)
    }
}

/// Rows and columns of an image; either may be empty.
private struct PixelRectangle {
    var rows: Range<Int>
    var columns: Range<Int>
}

/// Where the pixels of an augmented image come from: pixel (y, x) inside `inside` is the sample's
/// pixel (y + dy, x + dx), or (y + dy, dx − x) where it is mirrored; outside it and in the holes
/// is zero. Moves, mirrors and cuts, however many, come to one of these.
private struct ImagePlacement {
    private let height: Int
    private let width: Int
    private var inside: PixelRectangle
    private var dy = 0
    private var dx = 0
    private var isMirrored = false
    private var holeCount = 0

    init(height: Int, width: Int) {
        self.height = height
        self.width = width
        inside = PixelRectangle(rows: 0..<height, columns: 0..<width)
    }

    /// The new pixel (y, x) is the old pixel (y + down, x + right), zero outside.
    mutating func move(
        down: Int, right: Int, _ holes: UnsafeMutableBufferPointer<PixelRectangle>
    ) {
        dy += down
        dx += isMirrored ? -right : right
        func moved(_ area: PixelRectangle) -> PixelRectangle {
            PixelRectangle(
                rows: shifted(area.rows, by: -down, below: height),
                columns: shifted(area.columns, by: -right, below: width))
        }
        inside = moved(inside)
        for hole in 0..<holeCount { holes[hole] = moved(holes[hole]) }
    }

    /// The new pixel (y, x) is the old pixel (y, width − 1 − x).
    mutating func mirror(_ holes: UnsafeMutableBufferPointer<PixelRectangle>) {
        dx += isMirrored ? 1 - width : width - 1
        isMirrored.toggle()
        func mirrored(_ columns: Range<Int>) -> Range<Int> {
            width - columns.upperBound..<width - columns.lowerBound
        }
        inside.columns = mirrored(inside.columns)
        for hole in 0..<holeCount { holes[hole].columns = mirrored(holes[hole].columns) }
    }

    /// A square becomes zero, as far as it lies in the image.
    mutating func cut(
        top: Int, left: Int, size: Int, _ holes: UnsafeMutableBufferPointer<PixelRectangle>
    ) {
        holes[holeCount] = PixelRectangle(
            rows: shifted(0..<size, by: top, below: height),
            columns: shifted(0..<size, by: left, below: width))
        holeCount += 1
    }

    private func shifted(_ range: Range<Int>, by offset: Int, below bound: Int) -> Range<Int> {
        let start = min(max(range.lowerBound + offset, 0), bound)
        return start..<max(start, min(range.upperBound + offset, bound))
    }

    /// Writes the augmented sample. [height, width, channels]
    func write(
        _ dataset: Dataset, sample: Int, holes: UnsafeMutableBufferPointer<PixelRectangle>,
        scaling: InputScaling, into target: UnsafeMutablePointer<Float>
    ) {
        let channels = dataset.channels
        let row = width * channels
        if inside.rows.count < height || inside.columns.count < width {
            target.update(repeating: 0, count: height * row)
        }
        let columns = inside.columns
        // The first pixel of the sample's row that is needed, from the left.
        let first = isMirrored ? dx - (columns.upperBound - 1) : columns.lowerBound + dx
        if !columns.isEmpty {
            dataset.images.withUnsafeBufferPointer { images in
                guard let base = images.baseAddress else { return }
                let source = base + sample * dataset.features + first * channels
                for y in inside.rows {
                    let start = target + y * row + columns.lowerBound * channels
                    scaling.scaleBytes(
                        source + (y + dy) * row, into: start, count: columns.count * channels)
                    if isMirrored { reversePixels(start, count: columns.count, channels) }
                }
            }
        }
        for hole in holes[..<holeCount] where !hole.columns.isEmpty {
            for y in hole.rows {
                (target + y * row + hole.columns.lowerBound * channels).update(
                    repeating: 0, count: hole.columns.count * channels)
            }
        }
    }

    private func reversePixels(
        _ pixels: UnsafeMutablePointer<Float>, count: Int, _ channels: Int
    ) {
        var left = pixels
        var right = pixels + (count - 1) * channels
        while left < right {
            for channel in 0..<channels {
                (left[channel], right[channel]) = (right[channel], left[channel])
            }
            left += channels
            right -= channels
        }
    }
}
