import Foundation

/// A coordinate of a drawing: at most two decimals, no zeros behind them.
func coordinate(_ value: Double) -> String {
    trimmed(decimal(value, 2))
}

/// `value` with so many decimals, whatever the locale.
func decimal(_ value: Double, _ decimals: Int) -> String {
    String(format: "%.\(max(0, decimals))f", value)
}

/// About four significant digits: 0.9712, 3.142e-07, 12 345. "–" where there is no number.
func measure(_ value: Double?) -> String {
    guard let value, value.isFinite else { return "–" }
    let size = abs(value)
    if size == 0 { return "0" }
    if size >= 1000 { return thousands(value.rounded()) }
    if size < 1e-3 { return String(format: "%.3e", value) }
    return String(format: "%.\(max(0, 3 - Int(floor(log10(size)))))f", value)
}

/// A share of 0…1 in percent with two decimals.
func percent(_ value: Double?) -> String {
    guard let value, value.isFinite else { return "–" }
    return decimal(100 * value, 2) + " %"
}

/// A whole number in groups of three digits, set apart by thin spaces that do not break.
func thousands(_ value: Double) -> String {
    guard abs(value) < 1e15 else { return String(format: "%.3e", value) }
    let digits = String(Int(abs(value)))
    var groups: [Substring] = []
    var rest = digits[...]
    while rest.count > 3 {
        groups.insert(rest.suffix(3), at: 0)
        rest = rest.dropLast(3)
    }
    groups.insert(rest, at: 0)
    return (value < 0 ? "−" : "") + groups.joined(separator: "\u{202F}")
}

/// Without zeros at the end of the decimals.
func trimmed(_ text: String) -> String {
    guard text.contains(".") else { return text == "-0" ? "0" : text }
    var text = text
    while text.hasSuffix("0") { text.removeLast() }
    if text.hasSuffix(".") { text.removeLast() }
    return text == "-0" ? "0" : text
}

/// Six significant digits in a form that JSON knows.
func significant(_ value: Double) -> String {
    String(format: "%.6g", value)
}
