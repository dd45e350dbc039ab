extension SweepConfiguration.Figure {
    /// Reads a figure, and where its column is named.
    static func read(
        _ value: JSON5Value
    ) throws(ConfigurationError) -> (figure: SweepConfiguration.Figure, x: JSON5Value) {
        var figure = SweepConfiguration.Figure(
            title: "", x: "", y: .testError, isLogarithmic: false)
        var place = value
        let members = try value.members(
            "figures", known: ["kind", "title", "x", "y", "log", "labels"])
        for member in members {
            switch member.key {
            case "kind":
                figure.kind = try named(
                    Kind.allCases.map(\.rawValue), member.value, "figures.kind"
                ) { Kind(rawValue: $0) }
            case "title": figure.title = try member.value.text("figures.title")
            case "x":
                figure.x = try member.value.text("figures.x")
                place = member.value
            case "y":
                figure.y = try named(
                    SweepConfiguration.Measure.allCases.map(\.rawValue), member.value, "figures.y"
                ) { SweepConfiguration.Measure(rawValue: $0) }
            case "labels":
                figure.labels = try member.value.elements("figures.labels").map {
                    value throws(ConfigurationError) in try value.text("figures.labels")
                }
                guard figure.labels.count == 2 else {
                    throw member.value.error(
                        key: "figures.labels", expected: "two texts, for the two axes")
                }
            default: figure.isLogarithmic = try Reader.flag.read(member.value, "figures.log")
            }
        }
        let others = figure.kind == .path ? ["x", "y", "log"] : ["labels"]
        if let member = members.first(where: { others.contains($0.key) }) {
            let kind = figure.kind == .path ? Kind.measure : .path
            throw member.keyRange.error(
                .doesNotApply(
                    key: "figures.\(member.key)", condition: "figures.kind",
                    names: [kind.rawValue]))
        }
        return (figure, place)
    }
}
