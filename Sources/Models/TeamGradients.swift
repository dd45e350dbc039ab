import Collectives
import Kernels
import Layers
import TensorCore

/// A worker's end of the team that sums up the gradients of products: see `GradientTeam`.
final class TeamGradients: GradientTeam {
    let nodes: [GradientAccumulator.Node]
    let rows: Int
    let shards: Int
    var captured: ShardCapture?
    private let communicator: Communicator

    /// Where each shard of the rank lies, for each shape of batch: whose it is, and its rows there.
    private let places: [[(thread: Int, rows: Range<Int>)]]
    /// By shape and thread, rows counted from the rank's first.
    private let threadRows: [[Range<Int>]]

    /// A layer of the network that holds this team.
    private struct Product {
        unowned let layer: any TeamProduct
    }

    private var products: [Product] = []
    private static let mostProducts = 1024

    /// What this worker shows: the addresses of each product's input and output gradient. Two in
    /// turn: a slow team-mate may still read one when the next is written.
    private let shown: [MessageBuffer<UInt>]
    private var parity = 0
    private var shape = 0
    private let collected: UnsafeMutablePointer<WeightGradients.Operands>

    /// - Parameter batches: sizes of the global batches, by the index of their shapes.
    init(
        _ communicator: Communicator, reduction: GradientReduction, shards all: Int,
        batches: [Int]
    ) {
        self.communicator = communicator
        let world = communicator.world
        let mine = world.shards(ofRank: world.rank, of: all)
        let first = world.rank * world.threadsPerRank
        places = batches.map { samples in
            let batch = ShardedBatch(samples: samples, shards: all)
            return (0..<world.threadsPerRank).flatMap { thread in
                let shards = world.shards(ofWorker: first + thread, of: all)
                let start = batch.samples(ofShards: shards).lowerBound
                return shards.map { shard in
                    let samples = batch.samples(ofShard: shard)
                    return (thread, samples.lowerBound - start..<samples.upperBound - start)
                }
            }
        }
        threadRows = batches.map { samples in
            let batch = ShardedBatch(samples: samples, shards: all)
            let start = batch.samples(ofShards: mine).lowerBound
            return (0..<world.threadsPerRank).map { thread in
                let samples = batch.samples(
                    ofShards: world.shards(ofWorker: first + thread, of: all))
                return samples.lowerBound - start..<samples.upperBound - start
            }
        }
        shards = mine.count
        rows =
            batches.map { ShardedBatch(samples: $0, shards: all).samples(ofShards: mine).count }
            .max() ?? 0
        nodes = reduction.teamNodes.map {
            GradientAccumulator.Node(shards: $0.shards, values: $0.values)
        }
        shown = (0..<2).map { _ in
            communicator.buffer(of: UInt.self, count: 2 * Self.mostProducts)
        }
        collected = .allocate(capacity: mine.count)
    }

    deinit { collected.deallocate() }

    var threads: Int { communicator.world.threadsPerRank }
    var thread: Int { communicator.thread }

    func threadRows(ofShape index: Int) -> [Range<Int>] { threadRows[index] }

    func rowBoundaries(ofShape index: Int) -> [Int] {
        places[index].reduce(into: [0]) { $0.append($0[$0.count - 1] + $1.rows.count) }
    }

    /// The parts of the flat gradient that this worker sums up, of all products.
    var slices: [Range<Int>] { products.flatMap { $0.layer.slices } }

    func share(_ tensor: Tensor) throws -> [UnsafeMutablePointer<Float>] {
        communicator.keep(tensor)
        try communicator.meetTeam(
            tensor.pointer,
            Fingerprint(step: 0, layer: -1, kind: .start, length: tensor.columns))
        return (0..<threads).map { thread in
            guard let address = communicator.address(ofThread: thread) else {
                preconditionFailure("a team-mate showed nothing")
            }
            return UnsafeMutableRawPointer(mutating: address).assumingMemoryBound(to: Float.self)
        }
    }

    func meet() throws {
        try communicator.teamBarrier()
    }

    func join(_ product: any TeamProduct) -> Int {
        precondition(products.count < Self.mostProducts, "too many products for a team")
        products.append(Product(layer: product))
        return products.count - 1
    }

    func leave(_ number: Int, input: Tensor, outputGradient: Tensor, shape: Int) {
        shown[parity].pointer[2 * number] = UInt(bitPattern: input.pointer)
        shown[parity].pointer[2 * number + 1] = UInt(bitPattern: outputGradient.pointer)
        self.shape = shape
    }

    /// Meets the team, and sums up this worker's slices of every product, last layer first.
    func sumAll() throws(CollectiveError) {
        let mine = shown[parity].pointer
        parity ^= 1
        // The meeting: team-mates read each other's rows, which must be there.
        try communicator.meetTeam(
            mine,
            Fingerprint(
                step: communicator.step, layer: -1, kind: .gradients, length: products.count))
        communicator.collectiveTimer?.ended(.gradients)
        for number in products.indices.reversed() {
            let product = products[number].layer
            let columns = product.columns
            for (shard, place) in places[shape].enumerated() {
                let rows = communicator.address(ofThread: place.thread) ?? UnsafeRawPointer(mine)
                (collected + shard).initialize(
                    to: WeightGradients.Operands(
                        input: pointer(rows, 2 * number) + place.rows.lowerBound * columns.input,
                        outputGradient: pointer(rows, 2 * number + 1)
                            + place.rows.lowerBound * columns.output,
                        rows: place.rows.count))
            }
            product.sumSlices(of: UnsafeBufferPointer(start: collected, count: shards))
        }
    }

    private func pointer(_ shown: UnsafeRawPointer, _ index: Int) -> UnsafePointer<Float> {
        guard
            let pointer = UnsafePointer<Float>(
                bitPattern: shown.load(
                    fromByteOffset: index * MemoryLayout<UInt>.stride, as: UInt.self))
        else { preconditionFailure("a team-mate showed nothing") }
        return pointer
    }
}
