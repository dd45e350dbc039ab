/// XML or HTML as it is written: text and attribute values are escaped here and nowhere else.
struct Markup {
    /// What was written so far.
    private(set) var text = ""

    /// Appends `<name a="…">`.
    mutating func open(_ name: String, _ attributes: KeyValuePairs<String, String> = [:]) {
        text += "<\(name)" + Self.written(attributes) + ">"
    }

    /// Appends `</name>`.
    mutating func close(_ name: String) { text += "</\(name)>" }

    /// Appends an element without content, `<name a="…"/>`.
    mutating func empty(_ name: String, _ attributes: KeyValuePairs<String, String> = [:]) {
        text += "<\(name)" + Self.written(attributes) + "/>"
    }

    /// Appends an element without attributes that holds `content` as text.
    mutating func element(_ name: String, _ content: String) { element(name, [:], content) }

    /// Appends an element that holds `content` as text.
    mutating func element(
        _ name: String, _ attributes: KeyValuePairs<String, String>, _ content: String
    ) {
        open(name, attributes)
        add(content)
        close(name)
    }

    /// Appends an element that holds what `body` writes.
    mutating func element(
        _ name: String, _ attributes: KeyValuePairs<String, String> = [:],
        _ body: (inout Markup) -> Void
    ) {
        open(name, attributes)
        body(&self)
        close(name)
    }

    /// Appends `content` as text.
    mutating func add(_ content: String) { text += escaped(content) }

    /// Appends markup as it is: a style sheet, a script, a chart.
    mutating func raw(_ markup: String) { text += markup }

    /// Starts a new line, for those who read the file.
    mutating func newLine() { text += "\n" }

    private static func written(_ attributes: KeyValuePairs<String, String>) -> String {
        attributes.map { " \($0.key)=\"\(escaped($0.value))\"" }.joined()
    }
}

/// `text` as XML 1.0 can hold it, in an element or in a quoted attribute: the five special
/// characters become references, and what XML forbids becomes U+FFFD.
func escaped(_ text: String) -> String {
    var result = ""
    for scalar in text.unicodeScalars {
        switch scalar {
        case "&": result += "&amp;"
        case "<": result += "&lt;"
        case ">": result += "&gt;"
        case "\"": result += "&quot;"
        case "'": result += "&#39;"
        case "\t", "\n", "\r": result.unicodeScalars.append(scalar)
        case "\u{0}"..<"\u{20}", "\u{FFFE}", "\u{FFFF}": result += "\u{FFFD}"
        default: result.unicodeScalars.append(scalar)
        }
    }
    return result
}

/// `text` as a JSON string that may also stand in a script element.
func jsonString(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
        switch scalar {
        case "\"", "\\": result += "\\\(scalar)"
        case "\u{0}"..<"\u{20}", "<", ">", "&", "\u{2028}", "\u{2029}":
            let digits = String(scalar.value, radix: 16)
            result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
        default: result.unicodeScalars.append(scalar)
        }
    }
    return result + "\""
}
