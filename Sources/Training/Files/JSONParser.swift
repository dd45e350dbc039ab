/// Why a text is not JSON, and where.
public struct JSONSyntaxError: Error, Equatable, Sendable, CustomStringConvertible {
    /// What is wrong, as a clause: "a string is not closed".
    public let problem: String
    /// Offset of the byte at which it is wrong.
    public let offset: Int

    /// What and where, as a clause for a longer message.
    public var description: String { "\(problem) at byte \(offset)" }
}

extension JSONValue {
    /// Parses `text`: one JSON value (RFC 8259) with white space around it and nothing else.
    ///
    /// Stricter than the standard in what readers disagree about: a name twice in one object, a
    /// number beyond Float64 and more than 64 levels are errors.
    public init(parsing text: String) throws(JSONSyntaxError) {
        try self.init(parsing: Array(text.utf8))
    }

    /// Parses UTF-8 `bytes`, as `init(parsing: String)` does.
    public init(parsing bytes: [UInt8]) throws(JSONSyntaxError) {
        var parser = JSONParser(bytes: bytes)
        self = try parser.document()
    }
}

/// A recursive-descent parser over UTF-8 bytes. It never traps: every read is checked.
private struct JSONParser {
    let bytes: [UInt8]
    var offset = 0
    var depth = 0

    init(bytes: [UInt8]) { self.bytes = bytes }

    /// The byte at the cursor, or 0 at the end (0 starts no token, so that it fails there).
    var current: UInt8 { offset < bytes.count ? bytes[offset] : 0 }

    func error(_ problem: String, at position: Int? = nil) -> JSONSyntaxError {
        JSONSyntaxError(problem: problem, offset: position ?? offset)
    }

    mutating func document() throws(JSONSyntaxError) -> JSONValue {
        let value = try self.value()
        skipSpace()
        if offset < bytes.count { throw error("there is text after the value") }
        return value
    }

    mutating func skipSpace() {
        while offset < bytes.count, [0x20, 0x09, 0x0A, 0x0D].contains(bytes[offset]) { offset += 1 }
    }

    mutating func take(_ character: Unicode.Scalar) -> Bool {
        guard offset < bytes.count, UInt32(bytes[offset]) == character.value else { return false }
        offset += 1
        return true
    }

    mutating func take(word: StaticString) -> Bool {
        let length = word.utf8CodeUnitCount
        guard bytes.count - offset >= length else { return false }
        for index in 0..<length where bytes[offset + index] != word.utf8Start[index] {
            return false
        }
        offset += length
        return true
    }

    mutating func value() throws(JSONSyntaxError) -> JSONValue {
        skipSpace()
        switch current {
        case UInt8(ascii: "{"): return .object(try object())
        case UInt8(ascii: "["): return .array(try array())
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return try number()
        default:
            if take(word: "true") { return .bool(true) }
            if take(word: "false") { return .bool(false) }
            if take(word: "null") { return .null }
            throw error(offset < bytes.count ? "there is no value" : "the text ends too early")
        }
    }

    mutating func enter() throws(JSONSyntaxError) {
        depth += 1
        if depth > 64 { throw error("more than 64 levels are nested") }
        offset += 1
        skipSpace()
    }

    mutating func object() throws(JSONSyntaxError) -> JSONObject {
        try enter()
        defer { depth -= 1 }
        var members: [JSONObject.Member] = []
        var names: Set<String> = []
        if take("}") { return JSONObject() }
        while true {
            skipSpace()
            let start = offset
            guard current == UInt8(ascii: "\"") else { throw error("a name in quotes is missing") }
            let name = try string()
            guard names.insert(name).inserted else {
                throw error("the name '\(oneLine(name))' occurs twice", at: start)
            }
            skipSpace()
            guard take(":") else { throw error("a colon is missing") }
            members.append(JSONObject.Member(name: name, value: try value()))
            skipSpace()
            if take("}") { return JSONObject(members) }
            guard take(",") else { throw error("a comma or a closing brace is missing") }
        }
    }

    mutating func array() throws(JSONSyntaxError) -> [JSONValue] {
        try enter()
        defer { depth -= 1 }
        var values: [JSONValue] = []
        if take("]") { return values }
        while true {
            values.append(try value())
            skipSpace()
            if take("]") { return values }
            guard take(",") else { throw error("a comma or a closing bracket is missing") }
        }
    }

    mutating func string() throws(JSONSyntaxError) -> String {
        let start = offset
        offset += 1
        var units: [UInt8] = []
        while offset < bytes.count {
            let byte = bytes[offset]
            switch byte {
            case UInt8(ascii: "\""):
                guard let text = String(validating: units, as: UTF8.self) else {
                    throw error("a string is not UTF-8", at: start)
                }
                offset += 1
                return text
            case UInt8(ascii: "\\"): try appendEscape(to: &units)
            case 0..<0x20: throw error("a control character is not escaped")
            default:
                units.append(byte)
                offset += 1
            }
        }
        throw error("a string is not closed", at: start)
    }

    mutating func appendEscape(to units: inout [UInt8]) throws(JSONSyntaxError) {
        let start = offset
        offset += 1
        let letter = current
        offset += 1
        switch letter {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): units.append(letter)
        case UInt8(ascii: "b"): units.append(0x08)
        case UInt8(ascii: "f"): units.append(0x0C)
        case UInt8(ascii: "n"): units.append(0x0A)
        case UInt8(ascii: "r"): units.append(0x0D)
        case UInt8(ascii: "t"): units.append(0x09)
        case UInt8(ascii: "u"):
            var code = try fourHexDigits(escapeStart: start)
            if (0xD800..<0xDC00).contains(code) {
                guard take("\\"), take("u") else { throw error("half a surrogate pair", at: start) }
                let low = try fourHexDigits(escapeStart: start)
                guard (0xDC00..<0xE000).contains(low) else {
                    throw error("half a surrogate pair", at: start)
                }
                code = 0x10000 + (code - 0xD800) << 10 + (low - 0xDC00)
            }
            guard let scalar = Unicode.Scalar(code) else {
                throw error("half a surrogate pair", at: start)
            }
            units.append(contentsOf: String(scalar).utf8)
        default: throw error("an escape is unknown", at: start)
        }
    }

    mutating func fourHexDigits(escapeStart: Int) throws(JSONSyntaxError) -> UInt32 {
        var code: UInt32 = 0
        for _ in 0..<4 {
            guard offset < bytes.count,
                let digit = Character(Unicode.Scalar(bytes[offset])).hexDigitValue
            else { throw error("an escape needs four hexadecimal digits", at: escapeStart) }
            code = code << 4 | UInt32(digit)
            offset += 1
        }
        return code
    }

    mutating func digits() throws(JSONSyntaxError) {
        guard isDigit(current) else { throw error("a digit is missing") }
        while isDigit(current) { offset += 1 }
    }

    mutating func number() throws(JSONSyntaxError) -> JSONValue {
        let start = offset
        var isInteger = true
        _ = take("-")
        if !take("0") { try digits() }
        if isDigit(current) { throw error("a number starts with zero", at: start) }
        if take(".") {
            isInteger = false
            try digits()
        }
        if take("e") || take("E") {
            isInteger = false
            if !take("+") { _ = take("-") }
            try digits()
        }
        let text = String(decoding: bytes[start..<offset], as: UTF8.self)
        if isInteger, let value = Int(text) { return .int(value) }
        guard let value = Double(text), value.isFinite else {
            throw error("a number is too large", at: start)
        }
        return .double(value)
    }
}

private func isDigit(_ byte: UInt8) -> Bool {
    (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
}

/// `text` fit for one line of a message: no control characters, at most 80 characters.
func oneLine(_ text: String) -> String {
    var line = String(text.prefix(80))
    line.unicodeScalars.replaceControls()
    return text.count > 80 ? line + "…" : line
}

extension String.UnicodeScalarView {
    /// Replaces control characters and line separators, which would break a message's one line.
    fileprivate mutating func replaceControls() {
        var kept = String.UnicodeScalarView()
        for scalar in self {
            let breaks =
                scalar.value < 0x20 || (0x7F..<0xA0).contains(scalar.value)
                || scalar.value == 0x2028 || scalar.value == 0x2029
            kept.append(breaks ? "\u{FFFD}" : scalar)
        }
        self = kept
    }
}
