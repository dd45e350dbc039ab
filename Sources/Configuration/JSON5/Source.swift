/// Where a setting comes from; a later origin overrides an earlier one.
enum Origin: Int, Comparable, Sendable {
    case embedded, file, commandLine

    static func < (a: Origin, b: Origin) -> Bool { a.rawValue < b.rawValue }
}

/// A text that settings are read from: the embedded default, a file, or one `--set`.
final class Source: Sendable {
    /// What error messages call it: the file as the user named it, or `--set`.
    let name: String

    /// The text, UTF-8 unless the file is damaged.
    let bytes: [UInt8]

    /// Which layer of the configuration this text belongs to.
    let origin: Origin

    /// The folder that relative data paths in this text start from.
    let directory: String

    init(name: String, bytes: [UInt8], origin: Origin, directory: String) {
        self.name = name
        self.bytes = bytes
        self.origin = origin
        self.directory = directory
    }

    /// The place of a byte for a message: line, column, the line's text and a caret below it.
    ///
    /// Costs a scan of the text; only errors ask.
    func location(at offset: Int) -> ConfigurationError.Location {
        let offset = min(max(offset, 0), bytes.count)
        var line = 1
        var start = 0
        for i in 0..<offset where isLineEnd(i) {
            line += 1
            start = i + 1
        }
        var end = offset
        while end < bytes.count, bytes[end] != Ascii.lineFeed, bytes[end] != Ascii.carriageReturn {
            end += 1
        }
        let before = String(decoding: bytes[start..<offset], as: UTF8.self)
        let after = String(decoding: bytes[offset..<end], as: UTF8.self)
        let excerpt = Excerpt(before: before, after: after)
        let opening = origin == .commandLine && line == 1 ? "--set " : ""
        return ConfigurationError.Location(
            name: name, line: origin == .commandLine ? nil : line, column: before.count + 1,
            sourceLine: opening + excerpt.text,
            caretLine: String(repeating: " ", count: opening.count) + excerpt.padding + "^")
    }

    /// Whether a new line starts after byte i: LF, CR LF (at its LF), or a lone CR.
    private func isLineEnd(_ i: Int) -> Bool {
        if bytes[i] == Ascii.lineFeed { return true }
        let next = i + 1 < bytes.count ? bytes[i + 1] : 0
        return bytes[i] == Ascii.carriageReturn && next != Ascii.lineFeed
    }
}

/// A run of bytes of a source: where a value or a key stands.
struct SourceRange: Sendable {
    let source: Source
    let bytes: Range<Int>

    /// An error that points at the first byte of this range.
    func error(_ problem: ConfigurationError.Problem) -> ConfigurationError {
        ConfigurationError(problem, at: source.location(at: bytes.lowerBound))
    }
}

/// A source line as a terminal can show it: no control characters, and not longer than a screen.
private struct Excerpt {
    /// The shown part of the line.
    let text: String

    /// White space as wide as the shown part before the caret.
    let padding: String

    /// Scalars shown on either side of the caret; longer lines are cut and marked with "…".
    static let reach = 72

    init(before: String, after: String) {
        // Scalars, not characters: one character can hold any number of combining marks.
        let isLong = before.unicodeScalars.count > Self.reach
        let head = (isLong ? "…" : "") + String(before.unicodeScalars.suffix(Self.reach))
        let goesOn = after.unicodeScalars.count > Self.reach
        let tail = String(after.unicodeScalars.prefix(Self.reach)) + (goesOn ? "…" : "")
        text = head.displayable + tail.displayable
        padding = head.displayable.map(Self.blank).joined()
    }

    /// What keeps the caret below its character: tabs stay tabs, wide characters take two columns.
    private static func blank(_ character: Character) -> String {
        if character == "\t" { return "\t" }
        let wide: [ClosedRange<UInt32>] = [
            0x1100...0x115F, 0x2E80...0xA4CF, 0xAC00...0xD7A3, 0xF900...0xFAFF, 0xFE30...0xFE6F,
            0xFF00...0xFF60, 0x1F300...0x1FAFF, 0x20000...0x3FFFD,
        ]
        let first = character.unicodeScalars.first.map(\.value) ?? 0
        return wide.contains { $0.contains(first) } ? "  " : " "
    }
}

extension StringProtocol {
    /// This text without what could move a terminal's cursor or hide text: control and formatting
    /// characters but for the tab are shown as U+FFFD.
    var displayable: String {
        if utf8.allSatisfy({ 0x20...0x7E ~= $0 || $0 == 0x09 }) { return String(self) }
        var shown = String.UnicodeScalarView()
        for scalar in unicodeScalars {
            switch scalar.properties.generalCategory {
            case .control where scalar != "\t", .format, .lineSeparator, .paragraphSeparator:
                shown.append("\u{FFFD}")
            default: shown.append(scalar)
            }
        }
        return String(shown)
    }

    /// This text in quotes for a message: displayable, on one line, and at most 60 characters.
    var quoted: String {
        let shown = String(String.UnicodeScalarView(unicodeScalars.prefix(60))).displayable
        let line = String(shown.map { $0 == "\t" ? " " : $0 })
        return "\"" + line + (unicodeScalars.count > 60 ? "…" : "") + "\""
    }
}

/// The bytes that the parser looks for.
enum Ascii {
    static let lineFeed = UInt8(ascii: "\n")
    static let carriageReturn = UInt8(ascii: "\r")
}
