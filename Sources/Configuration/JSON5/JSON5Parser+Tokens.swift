/// Strings, keys and numbers.
extension JSON5Parser {
    // MARK: Keys

    /// A key: a string or an ECMAScript 5.1 identifier name.
    mutating func key() throws(ConfigurationError) -> String {
        if byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "'") { return try string() }
        guard let first = scalar, Self.isIdentifierStart(first) || first == "\\" else {
            throw unexpected("a key or \"}\"")
        }
        var text = String.UnicodeScalarView()
        while let scalar {
            if scalar == "\\" {
                let start = index
                index += 1
                guard skip("u") else { throw error(.invalidEscape, at: start) }
                let escaped = try unicodeEscape(start: start)
                let isAllowed =
                    text.isEmpty ? Self.isIdentifierStart(escaped) : Self.isIdentifierPart(escaped)
                guard isAllowed else { throw error(.invalidEscape, at: start) }
                text.append(escaped)
            } else if Self.isIdentifierPart(scalar) {
                text.append(scalar)
                advance(past: scalar)
            } else {
                break
            }
        }
        return String(text)
    }

    static func isIdentifierStart(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar {
        case "a"..."z", "A"..."Z", "$", "_": return true
        default: break
        }
        guard scalar.value > 0x7F else { return false }
        switch scalar.properties.generalCategory {
        case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter,
            .letterNumber:
            return true
        default: return false
        }
    }

    static func isIdentifierPart(_ scalar: Unicode.Scalar) -> Bool {
        if isIdentifierStart(scalar) { return true }
        if case "0"..."9" = scalar { return true }
        guard scalar.value > 0x7F else { return false }
        switch scalar.properties.generalCategory {
        case .nonspacingMark, .spacingMark, .decimalNumber, .connectorPunctuation: return true
        default: return scalar == "\u{200C}" || scalar == "\u{200D}"
        }
    }

    // MARK: Strings

    /// A string in single or double quotes.
    mutating func string() throws(ConfigurationError) -> String {
        let start = index
        let quote = source.bytes[index]
        index += 1
        var text = String.UnicodeScalarView()
        while let scalar {
            if byte == quote {
                index += 1
                return String(text)
            }
            switch scalar {
            case "\\":
                if let escaped = try escape() { text.append(escaped) }
            case "\n", "\r":
                throw error(.unterminated("string", by: quote == 0x22 ? "\"" : "'"), at: start)
            default:
                text.append(scalar)
                advance(past: scalar)
            }
        }
        throw error(.unterminated("string", by: quote == 0x22 ? "\"" : "'"), at: start)
    }

    /// An escape sequence; nil for a line continuation, which stands for nothing.
    private mutating func escape() throws(ConfigurationError) -> Unicode.Scalar? {
        let start = index
        index += 1
        guard let kind = scalar else { throw error(.invalidEscape, at: start) }
        advance(past: kind)
        switch kind {
        case "b": return "\u{08}"
        case "f": return "\u{0C}"
        case "n": return "\n"
        case "r": return "\r"
        case "t": return "\t"
        case "v": return "\u{0B}"
        case "x":
            guard let value = hexadecimal(digits: 2), let scalar = Unicode.Scalar(value) else {
                throw error(.invalidEscape, at: start)
            }
            return scalar
        case "u": return try unicodeEscape(start: start)
        case "0":
            if let next = byte, Self.isDigit(next) { throw error(.invalidEscape, at: start) }
            return "\0"
        case "1"..."9": throw error(.invalidEscape, at: start)
        case "\r":
            if byte == Ascii.lineFeed { index += 1 }
            return nil
        default: return Self.isLineTerminator(kind) ? nil : kind
        }
    }

    /// The four digits after `\u`, and the second escape of a surrogate pair.
    private mutating func unicodeEscape(start: Int) throws(ConfigurationError) -> Unicode.Scalar {
        guard let first = hexadecimal(digits: 4) else { throw error(.invalidEscape, at: start) }
        if let scalar = Unicode.Scalar(first) { return scalar }
        guard first < 0xDC00, skip("\\u"), let second = hexadecimal(digits: 4),
            0xDC00...0xDFFF ~= second,
            let scalar = Unicode.Scalar(0x10000 + (first - 0xD800) << 10 + (second - 0xDC00))
        else { throw error(.invalidEscape, at: start) }
        return scalar
    }

    private mutating func hexadecimal(digits: Int) -> UInt32? {
        var value: UInt32 = 0
        for _ in 0..<digits {
            guard let byte, let digit = Self.hexadecimalDigit(byte) else { return nil }
            value = value << 4 | UInt32(digit)
            index += 1
        }
        return value
    }

    private static func hexadecimalDigit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }

    private static func isDigit(_ byte: UInt8) -> Bool { byte &- UInt8(ascii: "0") < 10 }

    static func startsNumber(_ byte: UInt8) -> Bool {
        isDigit(byte) || byte == UInt8(ascii: "+") || byte == UInt8(ascii: "-")
            || byte == UInt8(ascii: ".")
    }

    // MARK: Numbers

    /// A number: an optional sign, then a decimal, a hexadecimal integer, `Infinity` or `NaN`.
    mutating func number() throws(ConfigurationError) -> JSON5Value.Number {
        let start = index
        let isNegative = byte == UInt8(ascii: "-")
        if isNegative || byte == UInt8(ascii: "+") { index += 1 }
        let magnitude: JSON5Value.Number
        if skip("Infinity") {
            magnitude = JSON5Value.Number(value: .infinity, whole: nil)
        } else if skip("NaN") {
            magnitude = JSON5Value.Number(value: .nan, whole: nil)
        } else if skip("0x") || skip("0X") {
            magnitude = try hexadecimalInteger(start: start)
        } else {
            magnitude = try decimal(start: start)
        }
        // 12px, 0b1, 1_000 and 1.2.3 are no numbers.
        if let scalar, Self.isIdentifierPart(scalar) || scalar == "." {
            throw error(.invalidNumber, at: start)
        }
        guard isNegative else { return magnitude }
        return JSON5Value.Number(
            value: -magnitude.value, whole: magnitude.whole == 0 ? 0 : nil)
    }

    private mutating func hexadecimalInteger(
        start: Int
    ) throws(ConfigurationError) -> JSON5Value.Number {
        var value = 0.0
        var whole: UInt64? = 0
        let first = index
        while let byte, let digit = Self.hexadecimalDigit(byte) {
            value = value * 16 + Double(digit)
            whole = whole.flatMap { $0 >> 60 == 0 ? $0 << 4 | UInt64(digit) : nil }
            index += 1
        }
        if index == first { throw error(.invalidNumber, at: start) }
        return JSON5Value.Number(value: value, whole: whole)
    }

    private mutating func decimal(start: Int) throws(ConfigurationError) -> JSON5Value.Number {
        let first = index
        let integerDigits = digits()
        let hasLeadingZero = integerDigits > 1 && source.bytes[first] == UInt8(ascii: "0")
        var isInteger = true
        var fractionDigits = 0
        if skip(".") {
            fractionDigits = digits()
            isInteger = false
        }
        if hasLeadingZero || integerDigits + fractionDigits == 0 {
            throw error(.invalidNumber, at: start)
        }
        if skip("e") || skip("E") {
            isInteger = false
            if !skip("+") { _ = skip("-") }
            if digits() == 0 { throw error(.invalidNumber, at: start) }
        }
        let text = String(decoding: source.bytes[first..<index], as: UTF8.self)
        guard let value = Double(text) else {
            throw error(.invalidNumber, at: start)
        }
        if isInteger { return JSON5Value.Number(value: value, whole: UInt64(text)) }
        let isWhole = value == value.rounded() && value <= 0x1p53
        return JSON5Value.Number(value: value, whole: isWhole ? UInt64(value) : nil)
    }

    /// Skips decimal digits and counts them.
    private mutating func digits() -> Int {
        let start = index
        while let byte, Self.isDigit(byte) { index += 1 }
        return index - start
    }
}
