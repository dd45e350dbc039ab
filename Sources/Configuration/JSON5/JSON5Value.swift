/// A value of a JSON5 document and where it stands.
struct JSON5Value: Sendable {
    let content: Content
    let range: SourceRange

    /// What a JSON5 text can say.
    indirect enum Content: Sendable, Equatable {
        case null
        case bool(Bool)
        case number(Number)
        case string(String)
        case array([JSON5Value])
        case object([Member])
    }

    /// A number as written.
    struct Number: Sendable, Equatable {
        let value: Double

        /// The exact value, if it is a whole number from 0 to 2^64 − 1. Doubles that hold a whole
        /// number (5e4) count up to 2^53, beyond which they are not exact.
        let whole: UInt64?
    }

    /// One `key: value` of an object. Keys are unique in an object.
    struct Member: Sendable, Equatable {
        let key: String
        let keyRange: SourceRange
        let value: JSON5Value

        static func == (a: Member, b: Member) -> Bool { a.key == b.key && a.value == b.value }
    }

    var isNull: Bool { content == .null }

    /// The value as a message names it, for "expected …, found …".
    var found: String {
        switch content {
        case .null: "null"
        case .bool(let value): "\(value)"
        case .number:
            // As the user wrote it: 1e999 says more than the infinity it reads as.
            String(decoding: range.source.bytes[range.bytes], as: UTF8.self).numeral
        case .string(let text): "the string " + text.quoted
        case .array(let elements): elements.isEmpty ? "an empty list" : "a list"
        case .object: "an object"
        }
    }

    /// An error about this value: what the key takes, and what stands here.
    func error(key: String, expected: String) -> ConfigurationError {
        range.error(.invalidValue(key: key, expected: expected, found: found))
    }
}

/// Values are equal when they say the same, wherever they stand.
extension JSON5Value: Equatable {
    static func == (a: JSON5Value, b: JSON5Value) -> Bool { a.content == b.content }
}

extension String {
    /// A number's digits for a message, cut when there are very many.
    fileprivate var numeral: String { count > 40 ? prefix(40) + "…" : self }
}
