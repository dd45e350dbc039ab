import TensorCore
import Testing

@testable import Datasets

@Suite struct EpochSamplerTests {
    /// Samples, batch size: even, uneven, one batch, batch of one, batch larger than the samples.
    static let sizes = [
        (60, 20), (61, 20), (59, 20), (1, 1), (1, 7), (2, 1), (5, 5), (997, 64), (4, 9), (130, 13),
    ]

    @Test("every epoch takes each sample exactly once", arguments: sizes, [false, true])
    func onceAnEpoch(size: (Int, Int), shuffle: Bool) throws {
        let (count, batchSize) = size
        let sampler = try EpochSampler(
            sampleCount: count, batchSize: batchSize, shuffle: shuffle, seed: 11)
        #expect(sampler.batchesPerEpoch == (count + batchSize - 1) / batchSize)
        for epoch in 1...3 {
            var seen: [Int] = []
            for index in 0..<sampler.batchesPerEpoch {
                let batch = sampler.batch(
                    atStep: (epoch - 1) * sampler.batchesPerEpoch + index + 1)
                #expect(batch.epoch == epoch && batch.index == index)
                #expect(batch.start == index * batchSize)
                #expect(batch.count == min(batchSize, count - index * batchSize))
                for position in 0..<batch.count {
                    seen.append(sampler.sample(at: position, of: batch))
                }
            }
            #expect(seen.sorted() == Array(0..<count))
            if !shuffle { #expect(seen == Array(0..<count)) }
        }
    }

    @Test("with dropLast every batch is full, and the rest sits out a different time each epoch")
    func dropLast() throws {
        let sampler = try EpochSampler(sampleCount: 103, batchSize: 10, dropLast: true, seed: 4)
        #expect(sampler.batchesPerEpoch == 10)
        var leftOut: [Set<Int>] = []
        for epoch in 0..<4 {
            var seen = Set<Int>()
            for index in 0..<10 {
                let batch = sampler.batch(atStep: epoch * 10 + index + 1)
                #expect(batch.count == 10)
                sampler.withSamples(at: 0..<10, of: batch) { samples in
                    for position in samples.indices { seen.insert(Int(samples[position])) }
                }
            }
            #expect(seen.count == 100)
            leftOut.append(Set(0..<103).subtracting(seen))
        }
        #expect(Set(leftOut).count == 4)
    }

    @Test("dropLast without one full batch is an error")
    func noFullBatch() {
        let error = #expect(throws: DatasetError.self) {
            try EpochSampler(sampleCount: 5, batchSize: 6, dropLast: true, seed: 1)
        }
        #expect(error?.category == .settings)
        #expect(
            error?.description
                == "a batch has 6 samples, but there are 5 training samples: without the short "
                + "batch none is left")
    }

    @Test("an order depends on seed and epoch, not on what was asked before")
    func pureFunction() throws {
        func order(_ seed: UInt64, _ epoch: Int, visiting others: [Int] = []) throws -> [Int] {
            let sampler = try EpochSampler(sampleCount: 50, batchSize: 50, seed: seed)
            for other in others { _ = sampler.sample(at: 3, of: sampler.batch(atStep: other)) }
            let batch = sampler.batch(atStep: epoch)
            return (0..<50).map { sampler.sample(at: $0, of: batch) }
        }
        #expect(try order(1, 4) == order(1, 4, visiting: [1, 2, 3]))
        #expect(try order(1, 4) == order(1, 4, visiting: [9, 4, 2]))
        #expect(try order(1, 4) != order(1, 5))
        #expect(try order(1, 4) != order(2, 4))
    }

    @Test("the order is the shuffle that the documentation defines")
    func definition() throws {
        for count in [1, 2, 3, 4, 5, 6, 33] {
            let random = CounterRandom(seed: 21, purpose: .order, index: 2)
            var expected = Array(0..<count)
            for (position, index) in (1..<count).reversed().enumerated() {
                expected.swapAt(index, random.integer(below: index + 1, at: position))
            }
            let sampler = try EpochSampler(sampleCount: count, batchSize: count, seed: 21)
            let batch = sampler.batch(atStep: 2)
            #expect((0..<count).map { sampler.sample(at: $0, of: batch) } == expected)
        }
    }

    @Test("every sample comes first about equally often")
    func uniformity() throws {
        let sampler = try EpochSampler(sampleCount: 8, batchSize: 8, seed: 2)
        var counts = [Int](repeating: 0, count: 64)
        for epoch in 1...8_000 {
            let batch = sampler.batch(atStep: epoch)
            for position in 0..<8 {
                counts[position * 8 + sampler.sample(at: position, of: batch)] += 1
            }
        }
        // 1 000 expected of each; five deviations: 148.
        #expect(counts.allSatisfy { abs($0 - 1_000) < 148 })
    }

    @Test("a shard's positions are a part of the batch's samples")
    func shards() throws {
        let sampler = try EpochSampler(sampleCount: 47, batchSize: 13, seed: 8)
        for step in 1...8 {
            let batch = sampler.batch(atStep: step)
            let cuts = [0, batch.count / 3, batch.count / 3, batch.count]
            for (low, high) in zip(cuts, cuts.dropFirst()) {
                sampler.withSamples(at: low..<high, of: batch) { samples in
                    #expect(samples.count == high - low)
                    for position in samples.indices {
                        #expect(
                            Int(samples[position])
                                == sampler.sample(at: low + position, of: batch))
                    }
                }
            }
        }
    }
}
