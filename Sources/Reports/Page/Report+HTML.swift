extension Report {
    /// The page: one HTML file with its style, its script and its images in it.
    public var html: String {
        var page = Markup()
        page.raw("<!DOCTYPE html>\n")
        page.open("html", ["lang": "en"])
        page.element("head") { page in
            page.raw("<meta charset=\"utf-8\">")
            page.raw("<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">")
            page.raw("<meta name=\"color-scheme\" content=\"light dark\">")
            page.element("title", title + " – bn-train")
            // Browsers ask the server for an icon where the page has none.
            page.raw("<link rel=\"icon\" href=\"data:,\">")
            page.raw("<style>\n\(PageStyle.text)</style>")
        }
        page.newLine()
        page.element("body") { page in
            page.element("header") { page in
                page.element("h1", title)
                if !lead.isEmpty { page.element("p", ["class": "lead"], lead) }
            }
            if sections.count > 3 { addContents(to: &page) }
            page.element("main") { page in
                for (index, section) in sections.enumerated() {
                    add(section, id: "s\(index)", to: &page)
                }
            }
            page.element("footer", origin)
            page.raw("\n<script>\n\(PageScript.text)</script>\n")
        }
        page.close("html")
        page.newLine()
        return page.text
    }

    private func addContents(to page: inout Markup) {
        page.element("nav") { page in
            for (index, section) in sections.enumerated() where !section.title.isEmpty {
                page.element("a", ["href": "#s\(index)"], section.title)
            }
        }
    }

    private func add(_ section: Section, id: String, to page: inout Markup) {
        page.newLine()
        page.element("section", ["id": id]) { page in
            if !section.title.isEmpty { page.element("h2", section.title) }
            for block in section.blocks {
                page.newLine()
                add(block, to: &page)
            }
        }
    }

    private func add(_ block: Block, to page: inout Markup) {
        switch block {
        case .text(let text): page.element("p", text)
        case .note(let text): page.element("p", ["class": "note"], text)
        case .heading(let text): page.element("h3", text)
        case .tiles(let tiles):
            page.element("dl", ["class": "tiles"]) { page in
                for tile in tiles {
                    page.element("div") { page in
                        page.element("dt", tile.name)
                        page.element("dd", tile.value)
                    }
                }
            }
        case .table(let table): add(table, to: &page)
        case .details(let name, let table):
            page.element("details") { page in
                page.element("summary", name)
                add(table, to: &page)
            }
        case .chart(let chart, let table): add(chart, table, to: &page)
        case .contours(let chart, let table):
            page.element("figure", ["class": "contours"]) { page in
                page.element("figcaption", chart.title)
                page.element("div", ["class": "wide"]) { $0.raw(chart.svg(width: 1100)) }
                page.element("div", ["class": "small"]) { $0.raw(chart.svg(width: 370)) }
            }
            if let table { add(table, to: &page) }
        case .confusion(let matrix): add(matrix, to: &page)
        case .images(let images): add(images, to: &page)
        case .picture(let image, let caption):
            page.element("figure", ["class": "picture"]) { page in
                page.empty(
                    "img",
                    [
                        "src": image.dataURI, "alt": caption, "width": "\(image.width)",
                        "height": "\(image.height)",
                    ])
                page.element("figcaption", caption)
            }
        case .shares(let shares, let unit): add(shares, unit: unit, to: &page)
        }
    }

    private func add(_ table: Table, to page: inout Markup) {
        page.element("div", ["class": "scroll"]) { page in
            page.element("table") { page in
                page.element("thead") { page in
                    page.element("tr") { page in
                        for (column, name) in table.header.enumerated() {
                            let kind = table.numbers.contains(column) ? "number" : "word"
                            page.element("th", ["class": kind, "scope": "col"], name)
                        }
                    }
                }
                page.element("tbody") { page in
                    for (row, cells) in table.rows.enumerated() {
                        page.element("tr") { page in
                            add(cells, of: table, row: row, to: &page)
                        }
                    }
                }
            }
        }
    }

    private func add(_ cells: [String], of table: Table, row: Int, to page: inout Markup) {
        for (column, text) in cells.enumerated() {
            // Short texts stay in one line, long ones are broken.
            let kind = table.numbers.contains(column) ? "number" : text.count > 44 ? "text" : "word"
            page.element("td", ["class": kind]) { page in
                if column == 0, table.colors.indices.contains(row), let color = table.colors[row] {
                    let style = "background:var(--c\(color % Palette.count))"
                    page.element("i", ["class": "swatch", "style": style], "")
                }
                page.add(text)
            }
        }
    }

    // MARK: Charts

    private func add(_ chart: Chart, _ table: Table?, to page: inout Markup) {
        page.element("div", ["class": table == nil ? "pair alone" : "pair"]) { page in
            page.element("figure", ["class": "chart", "tabindex": "0"]) { page in
                page.element("figcaption", chart.title)
                // Text keeps its size on small screens: a drawing for each of two widths.
                page.element("div", ["class": "wide"]) {
                    $0.raw(chart.svg(width: 760, height: 400))
                }
                page.element("div", ["class": "small"]) {
                    $0.raw(chart.svg(width: 370, height: 300))
                }
                page.element("div", ["class": "tip", "role": "status"], "")
                page.raw("<script type=\"application/json\">\(chart.json)</script>")
            }
            if let table {
                page.element("div", ["class": "beside"]) { page in
                    add(table, to: &page)
                    if let values = chart.values {
                        page.element("details") { page in
                            page.element("summary", "all values")
                            add(values, to: &page)
                        }
                    }
                }
            }
        }
    }

    // MARK: Images

    private func add(_ images: [CaptionedImage], to page: inout Markup) {
        page.element("div", ["class": "images"]) { page in
            for image in images {
                page.element("figure") { page in
                    page.empty(
                        "img",
                        [
                            "src": image.image.dataURI,
                            "alt": image.caption.joined(separator: ", "),
                            "width": "\(image.image.width)", "height": "\(image.image.height)",
                        ])
                    page.element("figcaption") { page in
                        for line in image.caption { page.element("span", line) }
                    }
                }
            }
        }
    }

    private func add(
        _ shares: [(name: String, value: Double)], unit: String, to page: inout Markup
    ) {
        let total = shares.reduce(0) { $0 + $1.value }
        guard total > 0 else { return }
        let shown = shares.enumerated().filter { $0.element.value > 0 }
        page.element("div", ["class": "shares", "role": "img", "aria-label": "shares"]) { page in
            for (index, share) in shown {
                let width = decimal(100 * share.value / total, 2)
                page.element(
                    "span",
                    [
                        "style": "width:\(width)%;background:var(--c\(index % Palette.count))",
                        "title": "\(share.name): \(percent(share.value / total))",
                    ], "")
            }
        }
        add(
            Table(
                ["part", unit, "share"],
                shown.map { _, share in
                    [share.name, measure(share.value), percent(share.value / total)]
                }, numbers: [1, 2], colors: shown.map { $0.offset }), to: &page)
    }

    // MARK: Confusion

    private func add(_ matrix: ConfusionMatrix, to page: inout Markup) {
        let classes = matrix.classes
        let total = matrix.counts.joined().reduce(0, +)
        let right = classes.indices.reduce(0) { $0 + matrix.counts[$1][$1] }
        page.element(
            "p",
            "\(thousands(Double(right))) of \(thousands(Double(total))) right, "
                + "\(percent(Double(right) / Double(max(total, 1)))).")
        page.element("div", ["class": "pair"]) { page in
            if classes.count <= 20 {
                page.element("div", ["class": "scroll"]) { addGrid(matrix, to: &$0) }
            }
            let mistakes = matrix.mistakes.prefix(12)
            guard !mistakes.isEmpty else { return }
            page.element("div", ["class": "beside"]) { page in
                add(
                    Table(
                        ["class", "taken for", "times"],
                        mistakes.map { [classes[$0.label], classes[$0.said], "\($0.count)"] },
                        numbers: [2]), to: &page)
            }
        }
    }

    private func addGrid(_ matrix: ConfusionMatrix, to page: inout Markup) {
        let classes = matrix.classes
        let most = matrix.mistakes.first?.count ?? 1
        page.element("table", ["class": "confusion"]) { page in
            page.element("caption", "rows: the true class; columns: what the model says")
            page.element("thead") { page in
                page.element("tr") { page in
                    page.element("th", "")
                    for name in classes { page.element("th", ["scope": "col"], name) }
                    page.element("th", ["scope": "col"], "right")
                }
            }
            page.element("tbody") { page in
                for label in classes.indices {
                    let row = matrix.counts[label]
                    let sum = max(row.reduce(0, +), 1)
                    page.element("tr") { page in
                        page.element("th", ["scope": "row"], classes[label])
                        for said in classes.indices {
                            let count = row[said]
                            // Mistakes are few: a square root shows them beside what is right.
                            let share =
                                said == label
                                ? Double(count) / Double(sum)
                                : (Double(count) / Double(most)).squareRoot()
                            let color = said == label ? "0 114 178" : "213 94 0"
                            let opacity = decimal(said == label ? 0.75 * share : 0.6 * share, 3)
                            page.element(
                                "td",
                                [
                                    "style": count == 0
                                        ? "color:var(--muted)"
                                        : "background:rgb(\(color)/\(opacity))"
                                ], count == 0 ? "·" : "\(count)")
                        }
                        page.element(
                            "td", ["class": "sum"], percent(Double(row[label]) / Double(sum)))
                    }
                }
            }
        }
    }
}

extension Chart {
    /// What the script needs to read values off the chart.
    fileprivate var json: String {
        let lines = series.map { line in
            let points = line.points.filter(isDrawable).map { point in
                let range =
                    point.range.map { ",\(number($0.lowerBound)),\(number($0.upperBound))" } ?? ""
                return "[\(number(point.x)),\(number(point.y))\(range)]"
            }
            return "{\"name\":\(jsonString(line.name)),\"color\":\(line.color % Palette.count),"
                + "\"points\":[\(points.joined(separator: ","))]}"
        }
        let names = x.names.map { $0.map(jsonString).joined(separator: ",") }
        return "{\"x\":\(jsonString(x.label)),\"names\":\(names.map { "[\($0)]" } ?? "null"),"
            + "\"share\":\(y.isShare),\"series\":[\(lines.joined(separator: ","))]}"
    }

    /// Six significant digits: what a reader sees.
    private func number(_ value: Double) -> String {
        value == value.rounded() && abs(value) < 1e9
            ? "\(Int(value))" : value.isFinite ? significant(value) : "null"
    }

    /// All values by their place on the horizontal axis; nil where they are too many to read.
    fileprivate var values: Table? {
        let places = Set(series.flatMap { $0.points.map(\.x) }).sorted()
        guard (2...120).contains(places.count), series.count <= 8 else { return nil }
        let rows = places.map { place in
            [x.names?[Int(place)] ?? (x.label == "steps" ? thousands(place) : measure(place))]
                + series.map { line in
                    let value = line.points.first { $0.x == place }?.y
                    return y.isShare ? percent(value) : measure(value)
                }
        }
        return Table(
            [x.label] + series.map(\.name), rows, numbers: Set(0...series.count))
    }
}
