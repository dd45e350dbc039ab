import Glibc

/// Why this process cannot work with the names it was given.
///
/// The system's names are bytes; this program, as Swift, keeps them as text, and would turn bytes that
/// are not UTF-8 into others: it would write to another folder than the one that was named.
enum PathEncodingError: Error, Equatable, CustomStringConvertible {
    /// A word of the command line, by its place behind the program's name.
    case word(Int, shown: String)
    /// The working directory, from which relative paths start.
    case workingDirectory(shown: String)

    var description: String {
        switch self {
        case .word(let place, let shown):
            "word \(place) of the command line, \(shown), is not UTF-8: give the file or folder a "
                + "name that is (`mv`, `convmv`), or name a link to it"
        case .workingDirectory(let shown):
            "the working directory, \(shown), has a name that is not UTF-8: start in another, or "
                + "rename it (`mv`, `convmv`)"
        }
    }

    /// Looks at this process's command line and working directory.
    static func check() throws(PathEncodingError) {
        let words = UnsafeBufferPointer(
            start: CommandLine.unsafeArgv, count: Int(CommandLine.argc))
        for (place, word) in words.enumerated().dropFirst() {
            if let word, let shown = shownIfForeign(word) { throw .word(place, shown: shown) }
        }
        // Without one nothing is relative to it, and who asks for it gets an error.
        guard let directory = getcwd(nil, 0) else { return }
        defer { free(directory) }
        if let shown = shownIfForeign(directory) { throw .workingDirectory(shown: shown) }
    }

    /// The text with its bytes beyond ASCII as \xEF, as shells write them; nil where it is UTF-8.
    private static func shownIfForeign(_ text: UnsafePointer<CChar>) -> String? {
        let bytes = UnsafeRawBufferPointer(start: text, count: strlen(text))
        guard String(validating: bytes, as: UTF8.self) == nil else { return nil }
        let characters = bytes.prefix(200).map { byte -> String in
            if (0x20..<0x7F).contains(byte) { return String(UnicodeScalar(byte)) }
            return "\\x" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
        }
        return "'" + characters.joined() + (bytes.count > 200 ? "…" : "") + "'"
    }
}
