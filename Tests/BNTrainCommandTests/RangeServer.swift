import Dispatch
import Glibc
import Synchronization

/// A small HTTP server on the loopback address, for tests of downloads: files by their path, with
/// ranges, and with the faults that servers have.
final class RangeServer: Sendable {
    /// What the server does wrong.
    enum Fault: Sendable {
        case none
        /// Answers every range with the whole file.
        case ignoresRanges
        /// Sends so many bytes of a body, then hangs up.
        case hangsUp(after: Int)
        /// Answers 503.
        case unavailable
    }

    private let log = Mutex<[String]>([])
    let port: UInt16
    private let listener: Int32
    private let files: [String: [UInt8]]
    private let fault: Mutex<Fault>

    init(_ files: [String: [UInt8]], _ fault: Fault = .none) throws {
        self.files = files
        self.fault = Mutex(fault)
        listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let (socket, size) = (listener, length)
        port = withUnsafeMutablePointer(to: &address) { address in
            address.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
                precondition(bind(socket, pointer, size) == 0 && listen(socket, 8) == 0)
                precondition(getsockname(socket, pointer, &length) == 0)
            }
            return UInt16(bigEndian: address.pointee.sin_port)
        }
        let queue = DispatchQueue(label: "range-server")
        queue.async { [self] in
            while true {
                let connection = accept(listener, nil, nil)
                guard connection >= 0 else { return }
                serve(connection)
                close(connection)
            }
        }
    }

    /// Hangs up for good. The queue keeps the server until then.
    func stop() {
        shutdown(listener, Int32(SHUT_RDWR))
        close(listener)
    }

    /// The paths and the first byte asked for, in order.
    var requests: [String] { log.withLock { $0 } }

    func set(_ new: Fault) { fault.withLock { $0 = new } }

    /// The address of the folder with all files.
    var address: String { "http://127.0.0.1:\(port)/" }

    private func serve(_ connection: Int32) {
        var request: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4096)
        while !request.suffix(4).elementsEqual([13, 10, 13, 10]) {
            let count = recv(connection, &buffer, buffer.count, 0)
            guard count > 0 else { return }
            request += buffer[..<count]
        }
        let lines = String(decoding: request, as: UTF8.self).split(separator: "\r\n")
        let range = lines.first { $0.lowercased().hasPrefix("range: bytes=") }
        let start = range.flatMap { Int($0.dropFirst(13).prefix { $0 != "-" }) } ?? 0
        log.withLock { $0.append("\(lines[0].split(separator: " ")[1]) from \(start)") }
        answer(connection, path: String(lines[0].split(separator: " ")[1]), start: start)
    }

    private func answer(_ connection: Int32, path: String, start: Int) {
        let fault = fault.withLock { $0 }
        func send(_ status: String, _ body: [UInt8], _ headers: String = "", cut: Int = .max) {
            let head =
                "HTTP/1.1 \(status)\r\nContent-Length: \(body.count)\r\n\(headers)"
                + "Connection: close\r\n\r\n"
            let bytes = Array(head.utf8) + body.prefix(cut)
            var sent = 0
            while sent < bytes.count {
                let count = bytes[sent...].withUnsafeBytes {
                    Glibc.send(connection, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
                }
                guard count > 0 else { return }
                sent += count
            }
        }
        guard let file = files[path] else { return send("404 Not Found", []) }
        switch fault {
        case .unavailable: send("503 Service Unavailable", [])
        case .ignoresRanges: send("200 OK", file)
        case .none, .hangsUp:
            var cut = Int.max
            if case .hangsUp(let bytes) = fault { cut = bytes }
            guard start > 0 else { return send("200 OK", file, cut: cut) }
            guard start < file.count else {
                return send(
                    "416 Range Not Satisfiable", [], "Content-Range: bytes */\(file.count)\r\n")
            }
            send(
                "206 Partial Content", Array(file[start...]),
                "Content-Range: bytes \(start)-\(file.count - 1)/\(file.count)\r\n", cut: cut)
        }
    }
}
