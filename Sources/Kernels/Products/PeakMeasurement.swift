import CPlatform
import TensorCore

/// The best rate of fused multiply-adds in Float32 that the calling thread reaches, in GFLOP/s
/// (a multiply-add counts as two), the fastest of the short runs that fit in `seconds`. What a bench
/// compares products with.
public func measureFMAPeak(seconds: Double = 0.02) -> Double {
    // Enough independent chains to cover a latency of 4 cycles twice a cycle, few enough for the
    // registers there are, beside a row and one factor: 12 of 32 with AVX-512, 6 pairs of 16 with AVX2.
    bn_compiled_for_512_bit_vectors() == 1
        ? fmaPeak(TileRow2.self, seconds: seconds) : fmaPeak(TileRow1.self, seconds: seconds)
}

@inline(__always)
private func fmaPeak<Row: TileRow>(_: Row.Type, seconds: Double) -> Double {
    let steps = 10_000
    let flops = Double(2 * steps * Tile<Row>.rows * Tile<Row>.columns)
    // All chains differ and all are stored, or the compiler leaves some out.
    let factor = alignedAllocation(of: Float.self, count: 1)
    factor.initialize(to: 0x1p-10)
    let values = Tile<Row>.rows * Tile<Row>.columns
    let tiles = alignedAllocation(of: Float.self, count: values)
    for index in 0..<values { (tiles + index).initialize(to: Float(index)) }
    let result = alignedAllocation(of: Float.self, count: values)
    defer {
        factor.deallocate()
        tiles.deallocate()
        result.deallocate()
    }
    return bestRate(seconds: seconds, work: flops) {
        var tile = Tile<Row>()
        tile.add(left: tiles)
        let row = Row(from: tiles)
        for _ in 0..<steps {
            tile.add(factor, at: TileOffsets(last: 0), times: row)
        }
        tile.store(to: result, at: .consecutive, stride: Tile<Row>.columns)
    }
}

/// The best rate at which the calling thread reads memory, in GB/s, over 128 MiB: more than caches
/// hold. Takes `seconds` and the time to fill the memory (about 0.05 s).
public func measureMemoryBandwidth(seconds: Double = 0.05) -> Double {
    let count = 32 << 20
    let memory = alignedAllocation(of: Float.self, count: count)
    memory.initialize(repeating: 1, count: count)
    let sink = alignedAllocation(of: Float.self, count: 64)
    defer {
        memory.deallocate()
        sink.deallocate()
    }
    return bestRate(seconds: seconds, work: Double(count * 4)) {
        var sum = TileRow4.zero
        for offset in stride(from: 0, to: count, by: 64) {
            sum.add(left: TileRow4(from: memory + offset))
        }
        sum.store(to: sink)
    }
}

/// work / time, in 1e9 a second, of the fastest of the runs that fit in `seconds`; at least two.
@inline(__always)
private func bestRate(seconds: Double, work: Double, _ run: () -> Void) -> Double {
    let clock = ContinuousClock()
    let start = clock.now
    var best = Double.infinity
    var runs = 0
    while runs < 2 || start.duration(to: clock.now) < .seconds(seconds) {
        let time = clock.measure(run)
        best = min(best, time / .seconds(1))
        runs += 1
    }
    return work / best * 1e-9
}
