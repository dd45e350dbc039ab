/// The table of keys as a tree.
enum Schema {
    /// The keys by their path.
    static let keys = Dictionary(uniqueKeysWithValues: Keys.all.map { ($0.path, $0) })

    /// The names in each section, in the order of the configuration; "" is the top.
    static let children: [String: [String]] = {
        var children: [String: [String]] = [:]
        for key in Keys.all {
            var place = ""
            for name in key.path.split(separator: ".").map(String.init) {
                if children[place]?.contains(name) != true {
                    children[place, default: []].append(name)
                }
                place = place.isEmpty ? name : "\(place).\(name)"
            }
        }
        return children
    }()

    /// The message about an unknown key. The nearest one is that of the same name elsewhere, if
    /// none here is spelled alike: `learningRate` at the top means `optimizer.learningRate`.
    static func unknownKey(_ key: String, in place: String) -> ConfigurationError.Problem {
        let known = (children[place] ?? []).sorted(byDistanceTo: key)
        var nearest = known[0]
        if keys[key] != nil {
            // A whole path as a key, as --set takes it, in a file.
            let names = key.split(separator: ".")
            nearest = names.joined(separator: ": { ") + ": …"
            nearest += String(repeating: " }", count: names.count - 1)
        } else if editDistance(nearest, key) > 2 {
            let name = key.split(separator: ".").last.map { $0.lowercased() }
            let elsewhere = keys.keys.filter {
                $0.split(separator: ".").last.map { $0.lowercased() } == name
            }
            let shallowest = elsewhere.min { ($0.depth, $0) < ($1.depth, $1) }
            nearest = shallowest ?? nearest
        }
        return .unknownKey(key, place: place, nearest: nearest, known: known)
    }
}

extension String {
    /// The number of dots in a key path.
    fileprivate var depth: Int { count { $0 == "." } }
}
