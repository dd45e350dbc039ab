/// A page of sections, which becomes one HTML file that needs nothing else.
public struct Report: Sendable {
    /// The page's title.
    public var title: String

    /// What it is about, in a sentence; may be empty.
    public var lead: String

    /// Who made it, and of what, at the end of the page.
    public var origin: String

    /// Its parts, in order.
    public var sections: [Section]

    /// A page.
    public init(title: String, lead: String, origin: String, sections: [Section]) {
        self.title = title
        self.lead = lead
        self.origin = origin
        self.sections = sections
    }

    /// A part of the page, with a heading.
    public struct Section: Sendable {
        /// Its heading; the first section of a page may have none.
        public var title: String
        /// What it shows.
        public var blocks: [Block]

        /// A section.
        public init(_ title: String, _ blocks: [Block]) {
            self.title = title
            self.blocks = blocks
        }
    }

    /// A piece of a section.
    public enum Block: Sendable {
        /// A sentence or two.
        case text(String)
        /// Something that readers must know before they trust what follows.
        case note(String)
        /// A heading within the section.
        case heading(String)
        /// Names with large values.
        case tiles([(name: String, value: String)])
        /// A table.
        case table(Table)
        /// Something long behind a line that opens it.
        case details(String, Table)
        /// A chart with the table that says the same in numbers.
        case chart(Chart, Table?)
        /// Who was taken for whom.
        case confusion(ConfusionMatrix)
        /// Small images with captions.
        case images([CaptionedImage])
        /// One wide image.
        case picture(PNGImage, caption: String)
        /// Shares of a whole.
        case shares([(name: String, value: Double)], unit: String)
        /// Contours and paths, with a table below.
        case contours(ContourChart, Table?)
    }

    /// All charts, in order.
    public var charts: [Chart] {
        sections.flatMap { section in
            section.blocks.compactMap { block in
                if case .chart(let chart, _) = block { chart } else { nil }
            }
        }
    }

    /// All drawings as SVG files, charts and contours, in order, by the names of their files.
    public var drawings: [(id: String, svg: String)] {
        sections.flatMap(\.blocks).compactMap { block in
            switch block {
            case .chart(let chart, _): (chart.id, chart.svgFile)
            case .contours(let chart, _): (chart.id, chart.svgFile)
            default: nil
            }
        }
    }
}

/// Rows and columns of text.
public struct Table: Sendable, Equatable {
    /// The names of the columns.
    public var header: [String]

    /// Rows, each as long as the header.
    public var rows: [[String]]

    /// The columns that hold numbers, which are flush right.
    public var numbers: Set<Int>

    /// The colour of a chart's line beside the first cell of a row; nil where there is none.
    public var colors: [Int?]

    /// A table.
    public init(
        _ header: [String], _ rows: [[String]], numbers: Set<Int> = [], colors: [Int?] = []
    ) {
        self.header = header
        self.rows = rows
        self.numbers = numbers
        self.colors = colors
    }

    /// Without the last column, where no row has anything in it.
    var withoutEmptyEnd: Table {
        guard rows.allSatisfy({ $0.last?.isEmpty == true }) else { return self }
        return Table(
            header.dropLast(), rows.map { $0.dropLast() }, numbers: numbers, colors: colors)
    }
}

/// An image with what is to be said of it.
public struct CaptionedImage: Sendable {
    /// The image.
    public var image: PNGImage
    /// What is written below it, a line each.
    public var caption: [String]

    /// An image with a caption.
    public init(_ image: PNGImage, caption: [String]) {
        self.image = image
        self.caption = caption
    }
}

/// How many samples of each class were taken for each class.
public struct ConfusionMatrix: Sendable {
    /// The classes' names.
    public var classes: [String]

    /// [true class, class said]
    public var counts: [[Int]]

    /// A matrix of zeros for these classes.
    public init(classes: [String]) {
        self.classes = classes
        counts = Array(repeating: Array(repeating: 0, count: classes.count), count: classes.count)
    }

    /// The pairs of different classes that were mistaken most often, the commonest first.
    public var mistakes: [(label: Int, said: Int, count: Int)] {
        var pairs: [(label: Int, said: Int, count: Int)] = []
        for label in counts.indices {
            for said in counts[label].indices where said != label && counts[label][said] > 0 {
                pairs.append((label, said, counts[label][said]))
            }
        }
        return pairs.sorted { ($1.count, $0.label, $0.said) < ($0.count, $1.label, $1.said) }
    }
}
