/// The two data sets of A. Krizhevsky, "Learning multiple layers of features from tiny images"
/// (2009), in their binary versions.
public enum CIFAR: Sendable, Hashable, CaseIterable {
    /// Ten classes; a record is a label and the pixels.
    case ten
    /// A hundred classes; a record is a coarse label, the label that is used, and the pixels.
    case hundred

    /// The data set's name in a configuration.
    public var name: String { self == .ten ? "cifar10" : "cifar100" }

    /// As messages call it.
    var title: String { self == .ten ? "CIFAR-10" : "CIFAR-100" }

    var classes: Int { self == .ten ? 10 : 100 }

    /// Label bytes of a record; the last is the one that counts.
    var labelBytes: Int { self == .ten ? 1 : 2 }

    /// Rows and columns of an image.
    static let side = 32

    /// Red, green and blue planes, row by row.
    static let pixelBytes = 3 * side * side

    var recordBytes: Int { labelBytes + Self.pixelBytes }

    /// The files of training samples, in the order of the samples.
    var trainingFiles: [String] {
        self == .ten ? (1...5).map { "data_batch_\($0).bin" } : ["train.bin"]
    }

    var testFile: String { self == .ten ? "test_batch.bin" : "test.bin" }

    /// The official archive, and the folder in it.
    var archive: String { self == .ten ? "cifar-10-binary.tar.gz" : "cifar-100-binary.tar.gz" }
    var folder: String { self == .ten ? "cifar-10-batches-bin" : "cifar-100-binary" }
}

/// The samples of one file, turned from planes into pixels.
struct CIFARRecords {
    let variant: CIFAR

    /// [count, 32, 32, 3]
    private(set) var images: [UInt8] = []

    /// [count]
    private(set) var labels: [UInt8] = []

    /// Records that are read at a time.
    private static let recordsAtOnce = 64

    /// Reads a whole file, plain or gzip, which its first bytes tell; `file` is what errors name.
    ///
    /// - Throws: `wrongRecordSize`, `labelOutOfRange`, `tooMuchData`, `corruptGzip`, `unreadable`.
    init(
        _ variant: CIFAR, from source: some RewindableStream, file: String,
        memoryLimit: Int = IDXArray.physicalMemory
    ) throws(DatasetError) {
        self.variant = variant
        let isPacked = try source.beginsAsGzip()
        if !isPacked { try Self.check(source.size, of: variant, file: file) }
        let stream: any ByteStream = isPacked ? GzipStream(source, file: file) : source
        try read(file: file, memoryLimit: memoryLimit, size: nil) {
            (buffer) throws(DatasetError) in
            try stream.read(into: buffer)
        }
    }

    /// Reads a file of an archive, whose header gives its size.
    init(
        _ variant: CIFAR, from archive: TarStream, member: TarStream.Member, file: String,
        memoryLimit: Int = IDXArray.physicalMemory
    ) throws(DatasetError) {
        self.variant = variant
        try Self.check(member.size, of: variant, file: file)
        var left = member.size
        try read(file: file, memoryLimit: memoryLimit, size: member.size) {
            (buffer) throws(DatasetError) in
            let part = UnsafeMutableRawBufferPointer(rebasing: buffer[..<min(left, buffer.count)])
            try archive.read(into: part)
            left -= part.count
            return part.count
        }
    }

    private static func check(
        _ bytes: Int, of variant: CIFAR, file: String
    ) throws(DatasetError) {
        guard bytes > 0 && bytes % variant.recordBytes == 0 else {
            throw .wrongRecordSize(
                file: file, data: variant.title, bytes: bytes, record: variant.recordBytes)
        }
    }

    private mutating func read(
        file: String, memoryLimit: Int, size: Int?,
        _ fill: (UnsafeMutableRawBufferPointer) throws(DatasetError) -> Int
    ) throws(DatasetError) {
        let record = variant.recordBytes
        if let size, size > memoryLimit {
            throw .tooMuchData(file: file, limit: memoryLimit)
        }
        let chunk = UnsafeMutableRawBufferPointer.allocate(
            byteCount: record * Self.recordsAtOnce, alignment: 64)
        defer { chunk.deallocate() }
        while true {
            let count = try fill(chunk)
            guard count % record == 0 else {
                throw .wrongRecordSize(
                    file: file, data: variant.title,
                    bytes: labels.count * record + count, record: record)
            }
            for start in stride(from: 0, to: count, by: record) {
                let end = start + record
                try append(UnsafeRawBufferPointer(rebasing: chunk[start..<end]), file: file)
            }
            guard images.count <= memoryLimit else {
                throw .tooMuchData(file: file, limit: memoryLimit)
            }
            if count < chunk.count { break }
        }
        try Self.check(labels.count * record, of: variant, file: file)
    }

    private mutating func append(
        _ record: UnsafeRawBufferPointer, file: String
    ) throws(DatasetError) {
        let label = record[variant.labelBytes - 1]
        guard Int(label) < variant.classes else {
            throw .labelOutOfRange(
                file: file, index: labels.count, label: Int(label), classes: variant.classes)
        }
        labels.append(label)
        let plane = CIFAR.side * CIFAR.side
        let pixels = record[variant.labelBytes...]
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: CIFAR.pixelBytes) { image in
            let base = pixels.startIndex
            for pixel in 0..<plane {
                image[3 * pixel] = pixels[base + pixel]
                image[3 * pixel + 1] = pixels[base + plane + pixel]
                image[3 * pixel + 2] = pixels[base + 2 * plane + pixel]
            }
            images.append(contentsOf: image)
        }
    }
}

extension RewindableStream {
    /// Whether the first two bytes are those of gzip data; begins again.
    func beginsAsGzip() throws(DatasetError) -> Bool {
        var magic: UInt16 = 0
        var failure: DatasetError?
        withUnsafeMutableBytes(of: &magic) { bytes in
            do throws(DatasetError) { _ = try read(into: bytes) } catch { failure = error }
        }
        if let failure { throw failure }
        try rewind()
        return UInt16(littleEndian: magic) == 0x8b1f
    }
}
