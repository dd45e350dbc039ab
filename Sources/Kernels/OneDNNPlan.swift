import COneDNN

/// One oneDNN operation on fixed shapes; it belongs to the thread that made it.
final class OneDNNPlan {
    private let plan: OpaquePointer
    private let scratch: ConvolutionScratch
    /// For errors.
    private let operation: String
    private let shape: String

    /// A plan that `create` makes; its status becomes an error that says where.
    ///
    /// - Parameter scratch: memory for the time of a call.
    init(
        operation: String, shape: String, scratch: ConvolutionScratch,
        create: (inout OpaquePointer?) -> CInt
    ) throws(KernelError) {
        var created: OpaquePointer?
        let status = create(&created)
        guard status == 0, let created else {
            throw Self.error(status, operation, shape)
        }
        plan = created
        self.scratch = scratch
        let size = MemoryLayout<Float>.stride
        scratch.reserve((Int(bn_dnnl_scratch_bytes(created)) + size - 1) / size)
        self.operation = operation
        self.shape = shape
    }

    deinit { bn_dnnl_destroy(plan) }

    /// oneDNN's name of the implementation.
    var implementation: String { String(cString: bn_dnnl_implementation(plan)) }

    /// Runs it; what the operands are, COneDNN says.
    func execute(
        _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>?, _ bias: UnsafePointer<Float>?,
        _ c: UnsafeMutablePointer<Float>
    ) throws(KernelError) {
        let status = bn_dnnl_execute(plan, a, b, bias, c, scratch.memory)
        if status != 0 { throw Self.error(status, operation, shape) }
    }

    private static func error(
        _ status: CInt, _ operation: String, _ shape: String
    ) -> KernelError {
        .oneDNN(
            status: String(cString: bn_dnnl_status_name(status)), operation: operation,
            shape: shape)
    }
}

extension OneDNNPlan {
    /// The three passes of a convolution.
    enum Pass: String {
        case forward = "convolution, forward"
        case backwardData = "convolution, backward data"
        case backwardWeights = "convolution, backward weights"

        var code: CInt {
            switch self {
            case .forward: CInt(BN_DNNL_FORWARD)
            case .backwardData: CInt(BN_DNNL_BACKWARD_DATA)
            case .backwardWeights: CInt(BN_DNNL_BACKWARD_WEIGHTS)
            }
        }
    }

    /// A pass over `images` images with weights in `layout`, or in that which oneDNN prefers.
    static func convolution(
        _ shape: ConvolutionShape, pass: Pass, images: Int, layout: WeightLayout?, bias: Bool,
        scratch: ConvolutionScratch
    ) throws(KernelError) -> (plan: OneDNNPlan, layout: WeightLayout) {
        var geometry = bn_dnnl_convolution(
            images: Int64(images), input_channels: Int64(shape.inputChannels),
            output_channels: Int64(shape.outputChannels), groups: Int64(shape.groups),
            input: (Int64(shape.inputHeight), Int64(shape.inputWidth)),
            output: (Int64(shape.outputHeight), Int64(shape.outputWidth)),
            kernel: (Int64(shape.kernelHeight), Int64(shape.kernelWidth)),
            stride: (Int64(shape.strideHeight), Int64(shape.strideWidth)),
            padding: (Int64(shape.paddingHeight), Int64(shape.paddingWidth)),
            dilation: (Int64(shape.dilationHeight), Int64(shape.dilationWidth)))
        var chosen = bn_dnnl_layout()
        let plan = try OneDNNPlan(
            operation: pass.rawValue, shape: "\(images) × \(shape)", scratch: scratch
        ) { created in
            guard let layout else {
                return bn_dnnl_convolution_create(
                    &created, &geometry, pass.code, nil, bias ? 1 : 0, &chosen)
            }
            var wanted = bn_dnnl_layout(layout)
            return bn_dnnl_convolution_create(
                &created, &geometry, pass.code, &wanted, bias ? 1 : 0, &chosen)
        }
        return (plan, WeightLayout(chosen))
    }

    /// A copy of weights from one layout to another.
    static func reorder(
        from: WeightLayout, to: WeightLayout, scratch: ConvolutionScratch
    ) throws(KernelError) -> OneDNNPlan {
        var (source, target) = (bn_dnnl_layout(from), bn_dnnl_layout(to))
        return try OneDNNPlan(
            operation: "reorder of weights", shape: "\(from.dims)", scratch: scratch
        ) {
            bn_dnnl_reorder_create(&$0, &source, &target)
        }
    }
}

extension WeightLayout {
    /// What oneDNN says.
    fileprivate init(_ layout: bn_dnnl_layout) {
        let dimensions = 0..<Int(layout.dimensions)
        let sizes = Self.values(layout.block_sizes)
        let indices = Self.values(layout.block_dimensions)
        self.init(
            dims: Array(Self.values(layout.dims)[dimensions]),
            strides: Array(Self.values(layout.strides)[dimensions]),
            blocks: (0..<Int(layout.blocks)).map { Block(dimension: indices[$0], size: sizes[$0]) },
            count: Int(layout.count))
    }

    /// The elements of a C array, which Swift sees as a tuple.
    private static func values<Tuple>(_ tuple: Tuple) -> [Int] {
        withUnsafeBytes(of: tuple) { $0.bindMemory(to: Int64.self).map(Int.init) }
    }
}

extension bn_dnnl_layout {
    /// For oneDNN.
    fileprivate init(_ layout: WeightLayout) {
        self.init()
        dimensions = CInt(layout.dims.count)
        blocks = CInt(layout.blocks.count)
        count = Int64(layout.count)
        let padded = layout.dims.enumerated().map { dimension, extent in
            let block = layout.blocks.reduce(1) {
                $1.dimension == dimension ? $0 * $1.size : $0
            }
            return (extent + block - 1) / block * block
        }
        Self.fill(&dims, layout.dims)
        Self.fill(&self.padded, padded)
        Self.fill(&strides, layout.strides)
        Self.fill(&block_dimensions, layout.blocks.map(\.dimension))
        Self.fill(&block_sizes, layout.blocks.map(\.size))
    }

    private static func fill<Tuple>(_ tuple: inout Tuple, _ values: [Int]) {
        withUnsafeMutableBytes(of: &tuple) { bytes in
            let elements = bytes.bindMemory(to: Int64.self)
            for (index, value) in values.enumerated() { elements[index] = Int64(value) }
        }
    }
}
