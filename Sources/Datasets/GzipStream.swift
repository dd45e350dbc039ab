import CZlib

/// What gzip data (RFC 1952) unpacks to.
///
/// Headers may carry a name; members may follow each other, and zeros may fill up the end, as
/// the format allows. Anything else after the last member, a wrong checksum, and an end in the
/// middle are errors, found when the reader gets there. It inflates no more than is asked for.
final class GzipStream: ByteStream {
    /// Deflate packs at most 258 bytes in 2 bits: data can grow by 1032 and no more.
    static let greatestRatio = 1032

    private let source: any ByteStream
    private let file: String
    private var inflater = z_stream()
    private let chunk: UnsafeMutableRawBufferPointer
    private var state = State.betweenMembers

    private enum State {
        case inMember, betweenMembers, padding, finished
    }

    /// Unpacks `source`; `file` is what errors name.
    init(_ source: any ByteStream, file: String) {
        self.source = source
        self.file = file
        chunk = .allocate(byteCount: 1 << 16, alignment: 16)
        // 16 + 15: gzip headers and checksums, the greatest window.
        let status = inflateInit2_(
            &inflater, 16 + 15, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size))
        precondition(status == Z_OK, "zlib does not start: \(status)")
    }

    deinit {
        inflateEnd(&inflater)
        chunk.deallocate()
    }

    func read(into buffer: UnsafeMutableRawBufferPointer) throws(DatasetError) -> Int {
        var filled = 0
        while filled < buffer.count && state != .finished {
            if inflater.avail_in == 0, try refill() == 0 {
                if state == .inMember { throw damaged("it ends in the middle") }
                state = .finished
                break
            }
            switch state {
            case .inMember:
                let rest = UnsafeMutableRawBufferPointer(rebasing: buffer[filled...])
                filled += try inflateMember(into: rest)
            case .betweenMembers: try beginMember()
            case .padding: try skipPadding()
            case .finished: break
            }
        }
        return filled
    }

    /// Reads the next piece of packed data and returns its bytes; 0 at its end.
    private func refill() throws(DatasetError) -> Int {
        let count = try source.read(into: chunk)
        inflater.next_in = chunk.bindMemory(to: UInt8.self).baseAddress
        inflater.avail_in = UInt32(count)
        return count
    }

    private func inflateMember(into buffer: UnsafeMutableRawBufferPointer) throws(DatasetError)
        -> Int
    {
        let room = min(buffer.count, Int(UInt32.max))
        inflater.next_out = buffer.bindMemory(to: UInt8.self).baseAddress
        inflater.avail_out = UInt32(room)
        let status = inflate(&inflater, Z_NO_FLUSH)
        switch status {
        case Z_OK, Z_BUF_ERROR: break
        case Z_STREAM_END: state = .betweenMembers
        case Z_MEM_ERROR: throw damaged("out of memory")
        default: throw damaged(inflater.msg.map { String(cString: $0) } ?? "zlib error \(status)")
        }
        return room - Int(inflater.avail_out)
    }

    private func beginMember() throws(DatasetError) {
        guard let next = inflater.next_in else { return }
        switch next.pointee {
        case 0:
            state = .padding
        case 0x1f:
            inflateReset(&inflater)
            state = .inMember
        default:
            throw otherDataFollows
        }
    }

    private func skipPadding() throws(DatasetError) {
        while inflater.avail_in > 0, let next = inflater.next_in {
            guard next.pointee == 0 else { throw otherDataFollows }
            inflater.next_in = next + 1
            inflater.avail_in -= 1
        }
    }

    private var otherDataFollows: DatasetError { damaged("other data follows its end") }

    private func damaged(_ reason: String) -> DatasetError {
        .corruptGzip(file: file, reason: reason)
    }
}
