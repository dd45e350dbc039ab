import Foundation

/// One `--set key.path=value`: the value is JSON5, or a bare word, which is a string.
struct SettingText {
    private let source: Source

    /// The index of the first `=`; the end if there is none.
    private let equals: Int

    init(_ text: String) {
        let bytes = Array(text.utf8)
        equals = bytes.firstIndex(of: UInt8(ascii: "=")) ?? bytes.count
        source = Source(
            name: "--set", bytes: bytes, origin: .commandLine,
            directory: FileManager.default.currentDirectoryPath)
    }

    /// The setting as the document it stands for: `a.b=1` as `{ a: { b: 1 } }`.
    func parse() throws(ConfigurationError) -> JSON5Value {
        let bytes = source.bytes
        if bytes.count > JSON5Parser.sizeLimit {
            throw ConfigurationError(.tooLarge(name: source.name, limit: JSON5Parser.sizeLimit))
        }
        if equals == bytes.count {
            throw ConfigurationError(.missingEquals, at: source.location(at: equals))
        }
        var keys = bytes[..<equals].split(
            separator: UInt8(ascii: "."), omittingEmptySubsequences: false
        ).map(trimmed)
        if keys.count > JSON5Parser.depthLimit {
            throw ConfigurationError(
                .tooDeep(limit: JSON5Parser.depthLimit), at: source.location(at: 0))
        }
        var value = try self.value(in: trimmed(bytes[(equals + 1)...]))
        while let key = keys.popLast() {
            if key.isEmpty {
                throw ConfigurationError(
                    .syntax(expected: "a key", found: "\"\(key.endIndex == equals ? "=" : ".")\""),
                    at: source.location(at: key.startIndex))
            }
            let member = JSON5Value.Member(
                key: String(decoding: key, as: UTF8.self),
                keyRange: SourceRange(source: source, bytes: key.startIndex..<key.endIndex),
                value: value)
            value = JSON5Value(content: .object([member]), range: member.keyRange)
        }
        return value
    }

    private func trimmed(_ bytes: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        let isBlank = { (byte: UInt8) in byte == 0x20 || byte == 0x09 || byte == 0x0A }
        var bytes = bytes.drop(while: isBlank)
        while let last = bytes.last, isBlank(last) { bytes.removeLast() }
        return bytes
    }

    /// What opens with a bracket or a quote must be JSON5; any other text that is not is a string.
    private func value(in bytes: ArraySlice<UInt8>) throws(ConfigurationError) -> JSON5Value {
        let range = bytes.startIndex..<bytes.endIndex
        do {
            return try JSON5Parser.parse(source, range: range)
        } catch {
            if let first = bytes.first, "{[\"'".utf8.contains(first) { throw error }
            return JSON5Value(
                content: .string(String(decoding: bytes, as: UTF8.self)),
                range: SourceRange(source: source, bytes: range))
        }
    }
}
