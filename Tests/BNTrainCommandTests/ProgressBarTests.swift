import Testing

@testable import BNTrainCommand
@testable import Training

/// A bar on a terminal and a clock that the test moves.
private final class Stage {
    var width: Int? = 80
    var time = 0.0
    var looks = 0
    var written: [String] = []

    func bar(steps: Int) -> ProgressBar {
        ProgressBar(
            totalSteps: steps, width: { self.width },
            now: {
                self.looks += 1
                return self.time
            }, write: { self.written.append($0) })
    }

    /// What stands on the terminal's lines after all that was written.
    var screen: [String] {
        var lines = [""]
        var column = 0
        for text in written {
            var rest = Substring(text)
            while let first = rest.first {
                if rest.hasPrefix("\u{1B}[K") {
                    lines[lines.count - 1] = String(lines[lines.count - 1].prefix(column))
                    rest = rest.dropFirst(3)
                    continue
                }
                switch first {
                case "\r": column = 0
                case "\n":
                    lines.append("")
                    column = 0
                default:
                    var line = Array(lines[lines.count - 1])
                    if column < line.count { line[column] = first } else { line.append(first) }
                    lines[lines.count - 1] = String(line)
                    column += 1
                }
                rest = rest.dropFirst()
            }
        }
        return lines
    }
}

private func report(_ step: Int, loss: Double = 0.5) -> StepReport {
    StepReport(
        step: step, epoch: 1 + step / 300,
        sums: SampleSums(samples: 60, totalLoss: 60 * loss, correct: 45), learningRate: 0.1)
}

@Suite struct ProgressBarTests {
    private let state = ProgressState(
        step: 12_345, totalSteps: 50_000, epoch: 13, imagesPerSecond: 184_321, loss: 0.12345,
        accuracy: 0.98765, secondsLeft: 204)

    @Test("the line fits every width from 20 to 200 columns and tells more in wider ones")
    func widths() {
        var fields = 0
        for width in 20...200 {
            let line = state.line(width: width)
            #expect(line.count <= width, "\(width): \(line)")
            #expect(line.contains("24%") && line.contains("12345/50000"), "\(width): \(line)")
            #expect(line.unicodeScalars.allSatisfy { $0.isASCII && $0.value >= 32 })
            let now = ["ETA", "loss", "accuracy", "epoch", "img/s"].count { line.contains($0) }
            #expect(now >= fields, "\(width)")
            fields = now
        }
        #expect(fields == 5)
        for width in 0..<20 { #expect(state.line(width: width).count <= width) }
    }

    @Test("the whole line, wide and narrow")
    func whole() {
        #expect(
            state.line(width: 120)
                == "[######----------------------]   24%  12345/50000  epoch 13  184k img/s  "
                + "loss 0.1235  accuracy 0.988  ETA 3:24")
        #expect(
            state.line(width: 79)
                == "[#------]   24%  12345/50000  184k img/s  loss 0.1235  accuracy 0.988  "
                + "ETA 3:24")
        #expect(
            state.line(width: 60)
                == "[###-------------]   24%  12345/50000  loss 0.1235  ETA 3:24")
        #expect(state.line(width: 20) == " 24%  12345/50000")
    }

    @Test("the bar is empty at the start, full at the end, and stands what it is not told")
    func ends() {
        var state = state
        state.step = 0
        state.imagesPerSecond = nil
        state.secondsLeft = nil
        #expect(state.line(width: 200).hasPrefix("[----------------------------]    0%  0/50000"))
        state.step = 50_000
        state.loss = .nan
        let end = state.line(width: 200)
        #expect(end.hasPrefix("[############################]  100%  50000/50000"))
        #expect(end.contains("loss nan"))
        state.secondsLeft = .infinity
        #expect(state.line(width: 200).contains("ETA ?"))
    }

    @Test("a second of steps draws ten times and looks at the clock a few times as often")
    func throttle() {
        let stage = Stage()
        let bar = stage.bar(steps: 100_000)
        for step in 1...10_000 {
            stage.time += 0.000_1
            bar.update(report(step))
        }
        #expect((8...11).contains(stage.written.count), "\(stage.written.count)")
        #expect(stage.looks < 400, "\(stage.looks)")
        let line = stage.screen[0]
        #expect(line.contains("600k img/s"), "\(line)")
        #expect(line.contains("ETA 0:0") || line.contains("ETA 0:10"), "\(line)")
    }

    @Test("slow steps after fast ones are drawn as they come")
    func slowing() {
        let stage = Stage()
        let bar = stage.bar(steps: 10_000)
        for step in 1...2000 {
            stage.time += 0.000_1
            bar.update(report(step))
        }
        for step in 2001...2400 {
            stage.time += 0.2
            bar.update(report(step))
        }
        let before = stage.written.count
        for step in 2401...2410 {
            stage.time += 0.2
            bar.update(report(step))
        }
        #expect(stage.written.count == before + 10)
    }

    @Test("a line stands above the bar, which is whole again afterwards and gone at the end")
    func lines() {
        let stage = Stage()
        let bar = stage.bar(steps: 100)
        for step in 1...5 {
            stage.time += 1
            bar.update(report(step))
        }
        bar.line("step 5: test accuracy 0.9")
        #expect(stage.screen == ["step 5: test accuracy 0.9", ""])
        stage.time += 1
        bar.update(report(6))
        #expect(stage.screen.count == 2)
        #expect(stage.screen[1].contains("6/100"))
        bar.finish()
        #expect(stage.screen == ["step 5: test accuracy 0.9", ""])
        #expect(stage.screen.allSatisfy { $0.count < 80 })
    }

    @Test("without a terminal only lines are written, and the clock is left alone")
    func noTerminal() {
        let stage = Stage()
        stage.width = nil
        let bar = stage.bar(steps: 100)
        let looks = stage.looks
        for step in 1...100 {
            stage.time += 1
            bar.update(report(step))
        }
        bar.line("done")
        bar.finish()
        #expect(stage.written == ["done\n"])
        #expect(stage.looks == looks)
    }

    @Test("the loss is smoothed: one bad step moves it by a fiftieth")
    func smoothing() {
        let stage = Stage()
        let bar = stage.bar(steps: 1000)
        for step in 1...500 { bar.update(report(step, loss: 1)) }
        stage.time += 1
        for step in 501...2000 where stage.written.isEmpty {
            bar.update(report(step, loss: step == 501 ? 51 : 1))
        }
        let line = stage.screen[0]
        let loss = line.split(separator: "loss ").last.flatMap { Double($0.prefix(6)) } ?? 0
        #expect(loss >= 1 && loss <= 2, "\(line)")
    }

    @Test("numbers as people read them")
    func numbers() {
        #expect(
            [0, 912.4, 9_999.4, 61_240, 99_949, 184_321, 3_052_000].map(count)
                == ["0", "912", "9999", "61.2k", "99.9k", "184k", "3.05M"])
        #expect(
            [0, 6.2, 754, 10_921, 442_800, .nan, -1].map(duration)
                == ["0:00", "0:07", "12:34", "3:02:01", "5 d 3 h", "?", "?"])
        #expect(
            [812, 4_100, 1_300_000, 999_960, 25_100_000_000].map(byteCount)
                == ["812 B", "4.1 kB", "1.3 MB", "1.0 MB", "25.1 GB"])
        #expect(fixed(-0.004, digits: 2) == "0.00")
        #expect(fixed(-1.005e3, digits: 1) == "-1005.0")
        #expect(fixed(1e300, digits: 4) == "1e+300")
        #expect(
            [0.5, 0.05, 12.3456, 123.456, 5, -2.5e-7, 9.999996e-4, 1e6, 3.2e12].map {
                significant($0)
            } == [
                "0.50000", "0.050000", "12.346", "123.46", "5", "-2.5000e-7", "1.0000e-3",
                "1.0000e6",
                "3.2000e12",
            ])
    }
}
