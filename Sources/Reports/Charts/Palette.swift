/// Colours of charts, as CSS variables with a value for light and one for dark backgrounds.
///
/// The eight follow Okabe and Ito, whose hues people with any kind of colour vision tell apart;
/// they are darker on white and lighter on black so that thin lines stay visible.
public enum Palette {
    /// The number of colours; line 9 has the first again, with another stroke.
    public static let count = 8

    private static let light = [
        "#0072b2", "#d55e00", "#00875f", "#b4508c", "#b07a00", "#3a97d3", "#6b6f76", "#7a6a14",
    ]
    private static let dark = [
        "#58aee8", "#ff8c42", "#34c99b", "#e79ac6", "#f2bd4a", "#9bd5ff", "#a9aeb6", "#d3bd62",
    ]

    /// The variables for light, for dark where the reader prefers it, and light again on paper.
    ///
    /// - Parameter selector: the element that carries them.
    static func variables(_ selector: String) -> String {
        let day =
            "--ink:#1c1e21;--muted:#5f656d;--rule:#dfe1e4;--grid:#e9ebed;--page:#fafaf8;"
            + "--card:#ffffff;--warn:#8a5a00;--warn-back:#fff6df;"
            + list(light)
        let night =
            "--ink:#e7e9ec;--muted:#9ca3ad;--rule:#343941;--grid:#2a2e35;--page:#131518;"
            + "--card:#1a1d22;--warn:#f2c66d;--warn-back:#2c2617;"
            + list(dark)
        return """
            \(selector){\(day)}
            @media screen and (prefers-color-scheme:dark){\(selector){\(night)}}

            """
    }

    private static func list(_ colors: [String]) -> String {
        colors.enumerated().map { "--c\($0.offset):\($0.element);" }.joined()
    }

    /// How the parts of a chart look; all that a chart of its own file needs but the variables.
    static let chartStyle: String = {
        var style = """
            .plot text{font:12px system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;\
            fill:var(--muted)}
            .plot .name{fill:var(--ink)}
            .plot .title{font-size:15px;font-weight:600;fill:var(--ink)}
            .plot .grid{stroke:var(--grid);stroke-width:1}
            .plot .axis{stroke:var(--muted);stroke-width:1}
            .plot .line{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}
            .plot .band{stroke:none;fill-opacity:.16}
            .plot .k1{stroke-dasharray:6 4}
            .plot .k2{stroke-dasharray:1 4}
            .plot .contour{fill:none;stroke:var(--muted);stroke-width:1;stroke-opacity:.7}
            .plot .ring{fill:var(--card);stroke-width:2}
            .plot .frame{fill:none;stroke:var(--rule);stroke-width:1}
            .plot .height{font-size:10px;paint-order:stroke;stroke:var(--card);stroke-width:3}
            .plot .cursor{stroke:var(--muted);stroke-width:1;stroke-dasharray:2 3;visibility:hidden}

            """
        for color in 0..<count {
            style +=
                ".plot .s\(color){stroke:var(--c\(color))}.plot .f\(color){fill:var(--c\(color))}"
        }
        return style + "\n"
    }()
}
