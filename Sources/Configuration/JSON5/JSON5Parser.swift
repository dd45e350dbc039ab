/// Reads JSON5 (https://spec.json5.org, version 1.0.0) and remembers where everything stands.
///
/// Foundation's decoder also reads JSON5, but reports syntax errors without a position and keeps
/// none for values. Stricter than the specification in two points: duplicate keys are an error, and
/// so is half of a surrogate pair. Any bytes end in a value or an error, never in a trap.
struct JSON5Parser {
    let source: Source
    let end: Int
    var index: Int

    /// Nesting beyond this is refused, so that hostile input cannot overflow the stack.
    static let depthLimit = 64

    /// Larger texts are refused, in bytes. A configuration has a few thousand.
    static let sizeLimit = 1 << 20

    /// Parses a source, or the part of it in `range`, which must hold exactly one value.
    static func parse(
        _ source: Source, range: Range<Int>? = nil
    ) throws(ConfigurationError) -> JSON5Value {
        let range = range ?? 0..<source.bytes.count
        if range.count > sizeLimit {
            throw ConfigurationError(.tooLarge(name: source.name, limit: sizeLimit))
        }
        if let bad = firstInvalidUTF8(source.bytes[range]) {
            throw ConfigurationError(
                .invalidUTF8(byte: source.bytes[bad]), at: source.location(at: bad))
        }
        var parser = JSON5Parser(source: source, end: range.upperBound, index: range.lowerBound)
        try parser.skipBlanks()
        let value = try parser.value(depth: 0)
        try parser.skipBlanks()
        if parser.index < parser.end { throw parser.unexpected("the end of \(parser.text)") }
        return value
    }

    private static func firstInvalidUTF8(_ bytes: ArraySlice<UInt8>) -> Int? {
        if String(validating: bytes, as: UTF8.self) != nil { return nil }
        var decoder = Unicode.UTF8.ForwardParser()
        var rest = bytes.makeIterator()
        var offset = bytes.startIndex
        while case .valid(let scalar) = decoder.parseScalar(from: &rest) { offset += scalar.count }
        return offset
    }

    // MARK: Reading bytes

    /// The byte at the index, nil at the end.
    var byte: UInt8? { index < end ? source.bytes[index] : nil }

    func byte(ahead count: Int) -> UInt8? {
        index + count < end ? source.bytes[index + count] : nil
    }

    /// The scalar at the index, nil at the end. The text has been checked to be UTF-8.
    var scalar: Unicode.Scalar? {
        guard let first = byte else { return nil }
        if first < 0x80 { return Unicode.Scalar(first) }
        let count = first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4
        var value = UInt32(first) & (0x7F >> UInt32(count))
        for i in 1..<count {
            guard let next = byte(ahead: i) else { return nil }
            value = value << 6 | UInt32(next & 0x3F)
        }
        return Unicode.Scalar(value)
    }

    mutating func advance(past scalar: Unicode.Scalar) { index += UTF8.width(scalar) }

    /// Skips a text if it stands at the index.
    @inline(never)  // Inlined, it crashes the optimizer of Swift 6.3.1 (SIL verification).
    mutating func skip(_ text: StaticString) -> Bool {
        for i in 0..<text.utf8CodeUnitCount where byte(ahead: i) != text.utf8Start[i] {
            return false
        }
        index += text.utf8CodeUnitCount
        return true
    }

    func range(from start: Int) -> SourceRange { SourceRange(source: source, bytes: start..<index) }

    // MARK: Errors

    func error(
        _ problem: ConfigurationError.Problem, at offset: Int? = nil
    ) -> ConfigurationError {
        ConfigurationError(problem, at: source.location(at: offset ?? index))
    }

    private var text: String { source.origin == .commandLine ? "the setting" : "the file" }

    /// "expected …, found …" at the index.
    func unexpected(_ expected: String) -> ConfigurationError {
        guard let scalar else {
            return error(.syntax(expected: expected, found: "the end of \(text)"))
        }
        let isPlain = !scalar.properties.isWhitespace && scalar.displayable == String(scalar)
        let code = String(scalar.value, radix: 16, uppercase: true)
        let padded = String(repeating: "0", count: max(0, 4 - code.count)) + code
        return error(
            .syntax(
                expected: expected, found: isPlain ? String(scalar).quotedMark : "U+" + padded))
    }

    // MARK: Blanks

    /// Skips white space and comments.
    mutating func skipBlanks() throws(ConfigurationError) {
        while let scalar {
            if Self.isBlank(scalar) {
                advance(past: scalar)
            } else if skip("//") {
                skipLine()
            } else if skip("/*") {
                try skipComment()
            } else {
                return
            }
        }
    }

    private mutating func skipLine() {
        while let scalar, !Self.isLineTerminator(scalar) { advance(past: scalar) }
    }

    /// Skips a comment from behind its opening to behind its end.
    private mutating func skipComment() throws(ConfigurationError) {
        let start = index - 2
        while index < end {
            if skip("*/") { return }
            index += 1
        }
        throw error(.unterminated("comment", by: "*/"), at: start)
    }

    static func isLineTerminator(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar {
        case "\n", "\r", "\u{2028}", "\u{2029}": true
        default: false
        }
    }

    private static func isBlank(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar {
        case " ", "\t", "\n", "\r", "\u{0B}", "\u{0C}", "\u{A0}", "\u{FEFF}", "\u{2028}",
            "\u{2029}":
            true
        default: scalar.value > 0x7F && scalar.properties.generalCategory == .spaceSeparator
        }
    }

    // MARK: Values

    private mutating func value(depth: Int) throws(ConfigurationError) -> JSON5Value {
        let start = index
        let content: JSON5Value.Content
        switch byte {
        case UInt8(ascii: "{"): content = .object(try members(depth: depth))
        case UInt8(ascii: "["): content = .array(try elements(depth: depth))
        case UInt8(ascii: "\""), UInt8(ascii: "'"): content = .string(try string())
        case let byte? where Self.startsNumber(byte): content = .number(try number())
        default: content = try word()
        }
        return JSON5Value(content: content, range: range(from: start))
    }

    /// `null`, `true`, `false`, `Infinity`, `NaN`.
    private mutating func word() throws(ConfigurationError) -> JSON5Value.Content {
        let start = index
        while let scalar, Self.isIdentifierPart(scalar) { advance(past: scalar) }
        let text = String(decoding: source.bytes[start..<index], as: UTF8.self)
        switch text {
        case "null": return .null
        case "true": return .bool(true)
        case "false": return .bool(false)
        case "Infinity": return .number(JSON5Value.Number(value: .infinity, whole: nil))
        case "NaN": return .number(JSON5Value.Number(value: .nan, whole: nil))
        case "": throw unexpected("a value")
        default:
            throw error(
                .syntax(expected: "a value (strings stand in quotes)", found: text.quoted),
                at: start)
        }
    }

    private mutating func elements(depth: Int) throws(ConfigurationError) -> [JSON5Value] {
        try open(depth)
        var elements: [JSON5Value] = []
        while try !close("]") {
            elements.append(try value(depth: depth + 1))
            try separator(before: "]")
        }
        return elements
    }

    private mutating func members(
        depth: Int
    ) throws(ConfigurationError) -> [JSON5Value.Member] {
        try open(depth)
        var members: [JSON5Value.Member] = []
        var seen: [String: SourceRange] = [:]
        while try !close("}") {
            let start = index
            let key = try self.key()
            let keyRange = range(from: start)
            if let first = seen.updateValue(keyRange, forKey: key) {
                let line = source.location(at: first.bytes.lowerBound).line
                throw error(.duplicateKey(key, firstLine: line), at: start)
            }
            try skipBlanks()
            guard skip(":") else { throw unexpected("\":\" after the key \(key.quoted)") }
            try skipBlanks()
            let value = try self.value(depth: depth + 1)
            members.append(JSON5Value.Member(key: key, keyRange: keyRange, value: value))
            try separator(before: "}")
        }
        return members
    }

    /// Skips the opening bracket.
    private mutating func open(_ depth: Int) throws(ConfigurationError) {
        if depth >= Self.depthLimit { throw error(.tooDeep(limit: Self.depthLimit)) }
        index += 1
    }

    /// Whether the list or object ends here; skips its closing bracket then.
    private mutating func close(_ bracket: StaticString) throws(ConfigurationError) -> Bool {
        try skipBlanks()
        return skip(bracket)
    }

    /// Skips the comma between elements; after the last one it may stand or be left out.
    private mutating func separator(before bracket: StaticString) throws(ConfigurationError) {
        try skipBlanks()
        if skip(",") || byte == bracket.utf8Start[0] { return }
        throw unexpected("\",\" or \"\(bracket)\"")
    }
}

extension String {
    /// One character in quotes that differ from it.
    fileprivate var quotedMark: String { self == "\"" ? "'\"'" : "\"" + self + "\"" }
}

extension Unicode.Scalar {
    fileprivate var displayable: String { String(self).displayable }
}
