import Foundation

extension ClaimsConfiguration {
    /// Reads a claims file.
    ///
    /// - Throws: what is wrong, and where.
    public static func load(file: String) throws(ConfigurationError) -> ClaimsConfiguration {
        try load(bytes: try RunConfiguration.contents(of: file), name: file)
    }

    static func load(
        bytes: [UInt8], name: String
    ) throws(ConfigurationError) -> ClaimsConfiguration {
        let source = Source(
            name: name, bytes: bytes, origin: .file,
            directory: URL(fileURLWithPath: name).deletingLastPathComponent().path)
        let document = try JSON5Parser.parse(source)
        let members = try document.members("the claims", known: ["claims"])
        guard let list = members.first?.value else {
            throw document.range.error(
                .missingValue(key: "claims", because: "a claims file", what: "a list of claims"))
        }
        return ClaimsConfiguration(claims: try list.elements("claims").map(claim))
    }

    private static func claim(_ value: JSON5Value) throws(ConfigurationError) -> Claim {
        var claim = Claim(claim: "", sweep: nil, comparison: nil, outside: "", picture: "")
        let known = ["claim", "sweep", "compare", "outside", "picture"]
        for member in try value.members("claims", known: known) {
            let key = "claims.\(member.key)"
            switch member.key {
            case "claim": claim.claim = try member.value.text(key)
            case "sweep": claim.sweep = try member.value.text(key)
            case "outside": claim.outside = try member.value.text(key)
            case "picture": claim.picture = try member.value.text(key)
            default: claim.comparison = try comparison(member.value)
            }
        }
        func missing(_ key: String, _ what: String) -> ConfigurationError {
            value.range.error(.missingValue(key: "claims.\(key)", because: "a claim", what: what))
        }
        if claim.claim.isEmpty { throw missing("claim", "what textbooks say, in a sentence") }
        if claim.outside.isEmpty {
            if claim.sweep == nil { throw missing("sweep", "the sweep that decides, or outside") }
            if claim.comparison == nil { throw missing("compare", "what is compared with what") }
        }
        return claim
    }

    private static func comparison(
        _ value: JSON5Value
    ) throws(ConfigurationError) -> Comparison {
        var result = Comparison(
            measure: .testAccuracy, where: [:], of: [:], with: [:], expected: .higher, margin: 0)
        let place = "claims.compare"
        let known = ["measure", "where", "of", "with", "is", "by"]
        for member in try value.members(place, known: known) {
            let key = "\(place).\(member.key)"
            switch member.key {
            case "measure":
                result.measure = try named(
                    Measure.allCases.map(\.rawValue), member.value, key
                ) { Measure(rawValue: $0) }
            case "where": result.where = try conditions(member.value, key)
            case "of": result.of = try conditions(member.value, key)
            case "with": result.with = try conditions(member.value, key)
            case "is":
                result.expected = try named(
                    Expected.allCases.map(\.rawValue), member.value, key
                ) { Expected(rawValue: $0) }
            default: result.margin = try Reader<Double>.nonNegative.read(member.value, key)
            }
        }
        if result.of.isEmpty || Set(result.of.keys) != Set(result.with.keys) {
            throw value.range.error(
                .invalidValue(
                    key: place, expected: "of and with, values of the same columns",
                    found: result.of.isEmpty || result.with.isEmpty
                        ? "only one side" : "other columns on one side"))
        }
        return result
    }

    /// By column, a value or a list of them.
    private static func conditions(
        _ value: JSON5Value, _ key: String
    ) throws(ConfigurationError) -> [String: [String]] {
        var result: [String: [String]] = [:]
        for condition in try value.members(key) {
            if case .array(let values) = condition.value.content {
                result[condition.key] = values.map(\.shortText)
            } else {
                result[condition.key] = [condition.value.shortText]
            }
        }
        return result
    }
}
