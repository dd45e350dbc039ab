import Glibc
import Training

/// What the progress line shows.
struct ProgressState: Equatable {
    /// Steps done, and of how many.
    var step: Int
    var totalSteps: Int

    /// The epoch, from 1.
    var epoch: Int

    /// Training samples a second; nil until it is known.
    var imagesPerSecond: Double?

    /// Smoothed over the last steps.
    var loss: Double
    var accuracy: Double

    /// Seconds to the end; nil until they can be told.
    var secondsLeft: Double?

    /// The line, at most `width` columns. The bar takes what the fields leave, and fields drop out,
    /// the least important first, until all fits.
    func line(width: Int) -> String {
        let steps = "\(step)/\(totalSteps)"
        let rate = imagesPerSecond.map { "\(count($0)) img/s" }
        let left = secondsLeft.map { "ETA \(duration($0))" }
        // In the order of the line, each with its importance: 0 drops out last.
        let all: [(text: String?, importance: Int)] = [
            (percent, 0), (steps, 1), ("epoch \(epoch)", 5), (rate, 4),
            ("loss \(fixed(loss, digits: 4))", 2),
            ("accuracy \(fixed(accuracy, digits: 3))", 3), (left, 2),
        ]
        for least in (0...6).reversed() {
            let fields = all.filter { $0.importance < least }.compactMap(\.text)
            let text = fields.joined(separator: "  ")
            // Beside more than the steps a short bar must fit: it is read faster than numbers.
            if text.count + (least > 2 ? 10 : 0) <= width {
                return bar(width: width - text.count - 2) + text
            }
        }
        return String(percent.prefix(max(width, 0)))
    }

    private var fraction: Double {
        totalSteps > 0 ? min(1, max(0, Double(step) / Double(totalSteps))) : 1
    }

    private var percent: String {
        let number = "\(Int(fraction * 100))%"
        return String(repeating: " ", count: 4 - number.count) + number
    }

    /// At most 30 columns and two blanks; nothing where there is no room for 8.
    private func bar(width: Int) -> String {
        let inside = min(width, 30) - 2
        guard inside >= 6 else { return "" }
        let full = Int(fraction * Double(inside))
        return "[" + String(repeating: "#", count: full)
            + String(repeating: "-", count: inside - full) + "]  "
    }
}

/// One line on the terminal that tells how far a run is; nothing where standard error is no
/// terminal, so that logs hold only what `line` prints.
///
/// Confined to the thread of the worker that speaks. `update` costs a few additions: it looks at
/// the clock only as often as it takes to redraw ten times a second, and allocates only then.
final class ProgressBar {
    /// Between two drawings, in seconds.
    private static let interval = 0.1

    private let width: () -> Int?
    private let now: () -> Double
    private let write: (String) -> Void

    private let isDrawing: Bool
    private let totalSteps: Int
    private var isShown = false

    private var last: StepReport?
    private var smoothed: (loss: Double, accuracy: Double)?
    private var samples = 0

    /// Steps between two looks at the clock, and those until the next.
    private var stride = 1
    private var untilLook = 1
    private var lastLook: Double
    private var drawn: (time: Double, samples: Int, step: Int)
    private var rate: Double?
    private var stepRate: Double?

    /// A bar for a run of `totalSteps`.
    ///
    /// - Parameters:
    ///   - width: columns of the terminal, nil if there is none; asked at each drawing.
    ///   - now: seconds on a clock that never goes back.
    ///   - write: writes to standard error.
    init(
        totalSteps: Int, isQuiet: Bool = false,
        width: @escaping () -> Int? = { Console.errorWidth },
        now: @escaping () -> Double = ProgressBar.monotonicSeconds,
        write: @escaping (String) -> Void = Console.error
    ) {
        self.totalSteps = totalSteps
        self.width = width
        self.now = now
        self.write = write
        isDrawing = width() != nil
        lastLook = now()
        drawn = (lastLook, 0, 0)
    }

    /// A step was done.
    func update(_ report: StepReport) {
        guard isDrawing else { return }
        // The first steps count in full, later ones by a fiftieth.
        let weight = max(0.02, 1 / Double(report.step))
        let before = smoothed ?? (report.loss, report.accuracy)
        smoothed = (
            before.loss + weight * (report.loss - before.loss),
            before.accuracy + weight * (report.accuracy - before.accuracy)
        )
        samples += report.samples
        last = report
        untilLook -= 1
        if untilLook <= 0 { look() }
    }

    /// Prints `text` as a line of its own, above the bar.
    func line(_ text: String) {
        clear()
        write(text + "\n")
    }

    /// Takes the bar away. A later `update` brings it back.
    func finish() { clear() }

    /// Seconds since the machine started.
    static func monotonicSeconds() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
    }

    // MARK: Drawing

    /// Looks at the clock, and fits the stride to five to ten looks between two drawings.
    private func look() {
        let time = now()
        let elapsed = time - lastLook
        if elapsed < Self.interval / 10 {
            stride = min(stride * 2, 1 << 16)
        } else if elapsed > Self.interval / 5 {
            stride = max(1, Int(Double(stride) * Self.interval / 5 / elapsed))
        }
        lastLook = time
        untilLook = stride
        if time - drawn.time >= Self.interval { draw(at: time) }
    }

    private func draw(at time: Double) {
        guard let last, let smoothed, let columns = width() else { return }
        let seconds = time - drawn.time
        rate = blend(rate, Double(samples - drawn.samples) / seconds)
        stepRate = blend(stepRate, Double(last.step - drawn.step) / seconds)
        drawn = (time, samples, last.step)
        let state = ProgressState(
            step: last.step, totalSteps: totalSteps, epoch: last.epoch, imagesPerSecond: rate,
            loss: smoothed.loss, accuracy: smoothed.accuracy,
            secondsLeft: stepRate.map { Double(totalSteps - last.step) / $0 })
        // One column stays free: a terminal wraps when the last one is written.
        write("\r" + state.line(width: columns - 1) + "\u{1B}[K")
        isShown = true
    }

    private func blend(_ old: Double?, _ new: Double) -> Double {
        guard let old else { return new }
        return old + 0.3 * (new - old)
    }

    private func clear() {
        if isShown { write("\r\u{1B}[K") }
        isShown = false
    }
}

// MARK: - Numbers as people read them

/// "912", "61.2k", "3.05M".
func count(_ number: Double) -> String {
    guard number.isFinite, number >= 0 else { return "?" }
    if number < 9_999.5 { return fixed(number, digits: 0) }
    if number < 99_950 { return fixed(number / 1e3, digits: 1) + "k" }
    if number < 999_500 { return fixed(number / 1e3, digits: 0) + "k" }
    return fixed(number / 1e6, digits: 2) + "M"
}

/// "0:07", "12:34", "3:02:01", "5 d 3 h".
func duration(_ seconds: Double) -> String {
    guard seconds.isFinite, seconds >= 0, seconds < 1e9 else { return "?" }
    let whole = Int(seconds.rounded(.up))
    func two(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
    let (hours, minutes) = (whole / 3600, whole / 60 % 60)
    if hours >= 48 { return "\(hours / 24) d \(hours % 24) h" }
    if hours > 0 { return "\(hours):\(two(minutes)):\(two(whole % 60))" }
    return "\(minutes):\(two(whole % 60))"
}

/// A number with so many digits behind the point; "nan" and "inf" as they are.
func fixed(_ number: Double, digits: Int) -> String {
    guard number.isFinite else { return "\(number)" }
    guard abs(number) < 1e15 else { return "\(number)" }
    var scale = 1
    for _ in 0..<digits { scale *= 10 }
    let scaled = (abs(number) * Double(scale)).rounded()
    guard scaled < 9e18 else { return "\(number)" }
    let whole = Int(scaled)
    let sign = number < 0 && whole > 0 ? "-" : ""
    guard digits > 0 else { return sign + "\(whole)" }
    let rest = "\(whole % scale)"
    return sign + "\(whole / scale)." + String(repeating: "0", count: digits - rest.count) + rest
}

/// "812 B", "4.1 kB", "1.3 MB", "2.0 GB"; powers of 1000.
func byteCount(_ bytes: Int) -> String {
    let units = ["kB", "MB", "GB", "TB"]
    guard bytes >= 1000 else { return "\(bytes) B" }
    var value = Double(bytes) / 1000
    var unit = 0
    while value >= 999.95, unit < units.count - 1 {
        value /= 1000
        unit += 1
    }
    return fixed(value, digits: 1) + " " + units[unit]
}
