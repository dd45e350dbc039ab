/// The least number of insertions, deletions, replacements and swaps of neighbours that turn one
/// text into the other (optimal string alignment), ignoring case.
///
/// Only the first 64 bytes count: keys and names are short, and input is not always.
func editDistance(_ a: String, _ b: String) -> Int {
    let a = Array(a.lowercased().utf8.prefix(64))
    let b = Array(b.lowercased().utf8.prefix(64))
    var beforeLast: [Int] = []
    var last = Array(0...b.count)
    for i in a.indices {
        var row = [i + 1]
        for j in b.indices {
            var best = min(row[j], last[j + 1]) + 1
            best = min(best, last[j] + (a[i] == b[j] ? 0 : 1))
            if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] {
                best = min(best, beforeLast[j - 1] + 1)
            }
            row.append(best)
        }
        (beforeLast, last) = (last, row)
    }
    return last[b.count]
}

extension [String] {
    /// The nearest to `text` first; equally near ones stay in their order.
    func sorted(byDistanceTo text: String) -> [String] {
        map { ($0, editDistance($0, text)) }.sorted { $0.1 < $1.1 }.map(\.0)
    }
}
