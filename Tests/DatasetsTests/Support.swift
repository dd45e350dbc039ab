import CZlib
import Datasets
import Foundation
import Testing

/// An IDX file's bytes. The element type and the number of dimensions may lie.
func idx(
    extents: [Int], elements: [UInt8], elementType: UInt8 = 0x08, dimensions: Int? = nil
) -> [UInt8] {
    [0, 0, elementType, UInt8(dimensions ?? extents.count)]
        + extents.flatMap { extent in
            [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: extent >> $0) }
        } + elements
}

/// Packs bytes as gzip does; `fileName` goes into the header.
func gzip(_ bytes: [UInt8], fileName: String? = nil, level: Int32 = 6) -> [UInt8] {
    var stream = z_stream()
    deflateInit2_(
        &stream, level, Z_DEFLATED, 16 + 15, 8, Z_DEFAULT_STRATEGY, ZLIB_VERSION,
        Int32(MemoryLayout<z_stream>.size))
    defer { deflateEnd(&stream) }
    var header = gz_header()
    var name = (fileName ?? "").utf8CString.map(UInt8.init(bitPattern:))
    var input = bytes
    var output = [UInt8](repeating: 0, count: Int(deflateBound(&stream, UInt(bytes.count))) + 300)
    return name.withUnsafeMutableBufferPointer { name in
        if fileName != nil {
            header.name = name.baseAddress
            deflateSetHeader(&stream, &header)
        }
        input.withUnsafeMutableBufferPointer {
            stream.next_in = $0.baseAddress
            stream.avail_in = UInt32($0.count)
            output.withUnsafeMutableBufferPointer {
                stream.next_out = $0.baseAddress
                stream.avail_out = UInt32($0.count)
                precondition(deflate(&stream, Z_FINISH) == Z_STREAM_END)
            }
        }
        return Array(output.prefix(Int(stream.total_out)))
    }
}

/// A directory that is removed at the end of `body`.
func withDirectory<Result>(_ body: (String) throws -> Result) throws -> Result {
    let directory = NSTemporaryDirectory() + "bn-train-tests-" + UUID().uuidString
    try FileManager.default.createDirectory(
        atPath: directory, withIntermediateDirectories: false)
    defer { try? FileManager.default.removeItem(atPath: directory) }
    return try body(directory)
}

func write(_ bytes: [UInt8], to path: String) throws {
    try Data(bytes).write(to: URL(fileURLWithPath: path))
}

/// Expects a data error of this text and category.
func expectError(
    _ description: String, _ category: DatasetError.Category = .badData,
    sourceLocation: SourceLocation = #_sourceLocation, from body: () throws -> Void
) {
    let error = #expect(
        throws: DatasetError.self, sourceLocation: sourceLocation, performing: body)
    #expect(error?.description == description, sourceLocation: sourceLocation)
    #expect(error?.category == category, sourceLocation: sourceLocation)
    #expect(error?.description.contains("\n") == false, sourceLocation: sourceLocation)
}

/// A data set of made-up bytes.
func patterned(
    count: Int, height: Int, width: Int, channels: Int = 1, classes: Int = 10
) -> Dataset {
    let features = height * width * channels
    let images = (0..<count * features).map {
        UInt8(truncatingIfNeeded: (($0 &+ 1) &* 2_654_435_761) >> 13)
    }
    do {
        return try Dataset(
            name: "patterned", height: height, width: width, channels: channels, classes: classes,
            images: images, labels: (0..<count).map { UInt8(($0 * 7) % classes) },
            source: "patterned")
    } catch {
        preconditionFailure("\(error)")
    }
}
