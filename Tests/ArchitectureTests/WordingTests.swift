import Configuration
import Testing

/// Library rooms say what is wrong; which key or command mends it, only the program knows, which adds
/// it in one place.
struct WordingTests {
    private static let rooms = [
        "TensorCore", "Collectives", "Kernels", "Layers", "Normalization", "Models",
        "Optimization", "Datasets",
    ]

    @Test("no text of a library room names a configuration's key or a command", arguments: rooms)
    func wording(of room: String) throws {
        let keys = RunConfiguration.documentation.map(\.key)
        #expect(keys.contains("data.limit") && keys.contains("freeze"))
        for file in Repository.swiftFiles(in: "Sources/\(room)") {
            for text in try Self.texts(in: file) {
                let words = text.split { !($0.isLetter || $0 == "." || $0 == ":") }
                for key in keys {
                    // "freeze" alone is a word, "freeze:" stands before what is wrong with it.
                    let isNamed = words.contains {
                        $0 == key + ":" || key.contains(".") && ($0 == key || $0 == key + ".")
                    }
                    #expect(!isNamed, "\(file): \(text)")
                }
                #expect(!text.contains("bn-train ") && !text.contains(" --"), "\(file): \(text)")
            }
        }
    }

    @Test("texts are found between code and comments, without what is put into them")
    func literals() throws {
        let texts = try Self.texts(in: "Sources/Models/ModelError.swift")
        #expect(texts.contains { $0.hasPrefix("no parameter's name begins with") })
        #expect(texts.contains { $0.contains("which do not divide into") })
        #expect(!texts.contains { $0.contains("layer)") || $0.contains("Why a model") })
    }

    /// The string literals of a file, line by line, without interpolations.
    private static func texts(in file: String) throws -> [String] {
        try Repository.text(file).split(separator: "\n")
            .filter { !$0.drop { $0 == " " }.hasPrefix("//") }
            .flatMap { line in
                line.replacing(/\\\((?:[^()]|\([^()]*\))*\)/, with: "…")
                    .matches(of: /"((?:[^"\\]|\\.)*)"/).map { String($0.1) }
            }
    }
}
