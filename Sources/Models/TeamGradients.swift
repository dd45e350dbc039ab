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
    /// In which they are summed up.
    private var order: [Int] = []
    private var hiding: Int?
    /// By product.
    private var inputSlices: [Range<Int>] = []
    /// Parts of the parameters that team-mates update and this worker reads, and those that it updates.
    private var read: [Range<Int>] = []
    private var written: [Range<Int>] = []
    private var parameters: UnsafeMutablePointer<Float>?
    let prefetchQueue: PrefetchQueue?
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
        prefetchQueue = world.threadsPerRank > 1 ? PrefetchQueue(capacity: 256) : nil
    }

    deinit { collected.deallocate() }

    var threads: Int { communicator.world.threadsPerRank }
    var thread: Int { communicator.thread }

    func threadRows(ofShape index: Int) -> [Range<Int>] { threadRows[index] }

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

    /// Learns where the parameters lie, when all products have joined.
    func finishJoining(_ replica: Replica) {
        parameters = replica.parameters
        hiding = products.firstIndex { $0.layer.hidesFetching }
        order = (hiding.map { [$0] } ?? []) + products.indices.reversed().filter { $0 != hiding }
        inputSlices = products.map(\.layer.inputSlice)
        read = products.flatMap(\.layer.othersSlices)
        written = products.indices.filter { $0 != hiding }.flatMap { products[$0].layer.slices }
    }

    /// Queues what team-mates wrote of the weights in the last update, and this worker will read.
    func fetchForward() {
        guard let prefetchQueue, let parameters else { return }
        prefetchQueue.removeAll()
        for slice in read {
            prefetchQueue.add(parameters + slice.lowerBound, columns: slice.count)
        }
    }

    /// Queues what this worker will update of the weights, and team-mates have read.
    func fetchBackward() {
        prefetchQueue?.removeAll()
        queueWritten()
    }

    private func queueWritten() {
        guard let prefetchQueue, let parameters else { return }
        for slice in written {
            prefetchQueue.add(
                parameters + slice.lowerBound, columns: slice.count, willBeWritten: true)
        }
    }

    /// Queues what this worker will read of team-mates' rows for the sums of all products but the
    /// one that hides it, and what it will update.
    private func fetchSums() {
        guard let prefetchQueue else { return }
        prefetchQueue.removeAll()
        for index in order where index != hiding {
            let columns = products[index].layer.columns
            let slice = inputSlices[index]
            for (thread, rows) in threadRows[shape].enumerated() where thread != self.thread {
                guard let shown = communicator.address(ofThread: thread) else { continue }
                prefetchQueue.add(
                    pointer(shown, 2 * index) + slice.lowerBound, columns: slice.count,
                    rows: rows.count, stride: columns.input)
                prefetchQueue.add(
                    pointer(shown, 2 * index + 1), columns: columns.output * rows.count)
            }
        }
        queueWritten()
    }

    /// Meets the team, and sums up this worker's slices of every product, last layer first, but
    /// before all the one that hides how the others' rows are fetched.
    func sumAll() throws(CollectiveError) {
        let mine = shown[parity].pointer
        parity ^= 1
        // The meeting: team-mates read each other's rows, which must be there.
        try communicator.meetTeam(
            mine,
            Fingerprint(
                step: communicator.step, layer: -1, kind: .gradients, length: products.count))
        communicator.collectiveTimer?.ended(.gradients)
        for number in order {
            let product = products[number].layer
            if number == hiding { fetchSums() }
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
