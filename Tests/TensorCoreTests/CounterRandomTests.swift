import Testing

@testable import TensorCore

@Suite struct CounterRandomTests {
    /// `kat_vectors` of Random123 1.14 (D. E. Shaw Research), lines "philox4x32 10".
    @Test("Philox4x32-10 gives the published vectors")
    func knownAnswers() {
        #expect(
            philox4x32(counter: [0, 0, 0, 0], key: (0, 0))
                == [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8])
        #expect(
            philox4x32(
                counter: [0xffff_ffff, 0xffff_ffff, 0xffff_ffff, 0xffff_ffff],
                key: (0xffff_ffff, 0xffff_ffff))
                == [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd])
        #expect(
            philox4x32(
                counter: [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                key: (0xa409_3822, 0x299f_31d0))
                == [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1])
    }

    @Test("seed, purpose, index and block take the places in key and counter that the docs name")
    func places() {
        let random = CounterRandom(
            seed: 0x299f_31d0_a409_3822, purpose: .order, index: 0x0370_7344_1319_8a2e)
        #expect(
            random.words(block: 7)
                == philox4x32(
                    counter: [7, 2, 0x1319_8a2e, 0x0370_7344], key: (0xa409_3822, 0x299f_31d0)))
    }

    @Test("a position is a word of a block")
    func positions() {
        let random = CounterRandom(seed: 5, purpose: .benchmark, index: 9)
        for position in [0, 1, 2, 3, 4, 7, 1001, 4_000_003] {
            let words = random.words(block: UInt32(position / 4))
            #expect(random.word(at: position) == words[position % 4])
        }
    }

    @Test("streams of other seeds, purposes and indices differ")
    func streams() {
        var seen = Set<SIMD4<UInt32>>()
        for seed in [0, 1, 1 << 32, UInt64.max] {
            for purpose in [CounterRandom.Purpose.initialWeights, .order, .synthesis] {
                for index in [0, 1, 1 << 32, 1 << 63] as [UInt64] {
                    let random = CounterRandom(seed: seed, purpose: purpose, index: index)
                    seen.insert(random.words(block: 0))
                    seen.insert(random.words(block: 1))
                }
            }
        }
        #expect(seen.count == 4 * 3 * 4 * 2)
    }

    private func index(_ step: Int, _ layer: Int, _ sample: Int) -> UInt64 {
        UInt64(step) << 40 | UInt64(layer) << 32 | UInt64(sample)
    }

    @Test("step, layer and sample are an index where they fit 24, 8 and 32 bits")
    func packedStreams() {
        for (step, layer, sample) in [
            (0, 0, 0), (1, 0, 0), (63_999, 255, 127), (0xFF_FFFF, 255, 0xFFFF_FFFF),
            (7, 3, 1 << 31),
        ] {
            let packed = CounterRandom(
                seed: 9, purpose: .dropout, step: step, layer: layer, sample: sample)
            let plain = CounterRandom(
                seed: 9, purpose: .dropout, index: index(step, layer, sample))
            #expect(packed.words(block: 2) == plain.words(block: 2))
        }
        let packed = CounterRandom(seed: 9, purpose: .augmentation, epoch: 5, sample: 49_999)
        let plain = CounterRandom(seed: 9, purpose: .augmentation, index: 5 << 32 | 49_999)
        #expect(packed.words(block: 0) == plain.words(block: 0))
    }

    @Test("no two of steps, layers and samples share a stream, up to the last bit of each")
    func streamsOfSteps() {
        // Every bit of each alone, and all pairs of bits: a packing without collisions is one to one
        // on them, and one in which two fields overlap is not.
        var places: [(Int, Int, Int)] = [(0, 0, 0)]
        let bits =
            (0..<40).map { (1 << $0, 0, 0) } + (0..<16).map { (0, 1 << $0, 0) }
            + (0..<32).map { (0, 0, 1 << $0) }
        places += bits
        for (number, a) in bits.enumerated() {
            places += bits.dropFirst(number + 1).map { (a.0 | $0.0, a.1 | $0.1, a.2 | $0.2) }
        }
        var seen = Set<SIMD4<UInt32>>()
        for purpose in [CounterRandom.Purpose.dropout, .noise, .augmentation] {
            for (step, layer, sample) in places {
                seen.insert(
                    CounterRandom(
                        seed: 1, purpose: purpose, step: step, layer: layer, sample: sample
                    ).words(block: 0))
            }
        }
        #expect(seen.count == 3 * places.count)
        // Steps 0…19 and 63 980…63 999 of the largest network, ResNet-110 of 332 nodes.
        var streams = Set<SIMD4<UInt32>>()
        for step in Array(0..<20) + Array(63_980..<64_000) {
            for layer in 0..<332 {
                for sample in [0, 1, 127] {
                    streams.insert(
                        CounterRandom(
                            seed: 1, purpose: .dropout, step: step, layer: layer, sample: sample
                        ).words(block: 0))
                }
            }
        }
        #expect(streams.count == 40 * 332 * 3)
        // As it was: layer 256 of a step was layer 0 of the next.
        #expect(index(2, 256, 0) == index(3, 0, 0))
    }

    @Test("epochs beyond 32 bits have streams of their own")
    func streamsOfEpochs() {
        let epochs = (0..<40).map { 1 << $0 } + [0]
        let seen = Set(
            epochs.flatMap { epoch in
                [0, 1, 0xFFFF_FFFF].map {
                    CounterRandom(seed: 1, purpose: .augmentation, epoch: epoch, sample: $0)
                        .words(block: 0)
                }
            })
        #expect(seen.count == 3 * epochs.count)
    }

    @Test("uniform values fill their range evenly", arguments: [1, 77] as [UInt64])
    func uniform(seed: UInt64) {
        let random = CounterRandom(seed: seed, purpose: .benchmark, index: 0)
        let count = 40_000
        var (sum, squares) = (0.0, 0.0)
        for position in 0..<count {
            let value = random.uniform(in: -3...5, at: position)
            #expect(value >= -3 && value < 5)
            sum += value
            squares += value * value
        }
        // Mean 1, variance 64/12; five deviations of the estimates: 0.058 and 0.12.
        let mean = sum / Double(count)
        #expect(abs(mean - 1) < 0.058)
        #expect(abs(squares / Double(count) - mean * mean - 64.0 / 12) < 0.12)
    }

    @Test(
        "integers reach every value below the bound, and none else", arguments: [1, 2, 3, 10, 97])
    func integers(bound: Int) {
        let random = CounterRandom(seed: 3, purpose: .benchmark, index: 1)
        var counts = [Int](repeating: 0, count: bound)
        let rolls = 200 * bound
        for position in 0..<rolls { counts[random.integer(below: bound, at: position)] += 1 }
        // 200 expected of each; five deviations: 71.
        #expect(counts.allSatisfy { abs($0 - 200) < 71 })
    }
}
