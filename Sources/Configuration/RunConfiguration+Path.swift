extension RunConfiguration.Probes {
    /// A plane of two coordinates in the space of the parameters.
    public struct Path: Sendable, Hashable {
        /// The horizontal one.
        public var x: Coordinate
        /// The vertical one.
        public var y: Coordinate
    }

    /// A sum or difference of single weights: "layers.0.weight[1,0] - layers.0.weight[0,0]".
    public struct Coordinate: Sendable, Hashable {
        /// One weight.
        public struct Term: Sendable, Hashable {
            /// The parameter's name, as files have it.
            public var parameter: String
            /// Where it stands in the parameter.
            public var indices: [Int]
            /// Whether it is taken away.
            public var isSubtracted: Bool
        }

        /// The weights.
        public var terms: [Term]

        /// As it is written.
        public var text: String {
            terms.enumerated().map { place, term in
                let sign = place == 0 ? "" : term.isSubtracted ? " - " : " + "
                let indices = term.indices.map(String.init).joined(separator: ",")
                return "\(sign)\(term.parameter)[\(indices)]"
            }.joined()
        }

        /// Nil for what is no such sum.
        init?(_ text: String) {
            let words = text.split(separator: " ")
            guard words.count % 2 == 1 else { return nil }
            terms = []
            for place in stride(from: 0, to: words.count, by: 2) {
                let sign = place == 0 ? "+" : words[place - 1]
                guard ["+", "-"].contains(sign),
                    let match = words[place].wholeMatch(of: /([A-Za-z][\w.]*)\[(\d+(?:,\d+)*)\]/)
                else { return nil }
                let indices = match.2.split(separator: ",").compactMap { Int($0) }
                guard indices.count == match.2.split(separator: ",").count else { return nil }
                terms.append(
                    Term(
                        parameter: String(match.1), indices: indices, isSubtracted: sign == "-"))
            }
        }
    }
}

extension Reader where Value == RunConfiguration.Probes.Path {
    static let path = Reader { (value, key) throws(ConfigurationError) in
        guard case .object(let members) = value.content else {
            throw value.error(key: key, expected: "{ x: \"…\", y: \"…\" } or null")
        }
        let values = try object(members, of: value, keys: ["x", "y"], key)
        func coordinate(
            _ value: JSON5Value, _ name: String
        ) throws(ConfigurationError) -> RunConfiguration.Probes.Coordinate {
            guard case .string(let text) = value.content,
                let coordinate = RunConfiguration.Probes.Coordinate(text)
            else {
                throw value.error(
                    key: "\(key).\(name)",
                    expected: "a weight like \"layers.0.weight[1,0]\", or a sum or difference "
                        + "of several")
            }
            return coordinate
        }
        return RunConfiguration.Probes.Path(
            x: try coordinate(values[0], "x"), y: try coordinate(values[1], "y"))
    }
}
