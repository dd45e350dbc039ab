import Foundation
import Testing

@testable import Configuration

/// SplitMix64 (Steele, Lea, Flood 2014): the same mutations in every run.
private struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}

/// Seconds that this thread has computed: the test is not slower on a busy machine.
private func processorSeconds() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
}

struct MutationTests {
    /// Pieces that matter to the parser or to the settings.
    private static let tokens =
        [
            "{", "}", "[", "]", ",", ":", "'", "\"", "\\", "\\u", "\\x", "//", "/*", "*/", "null",
            "true", "NaN", "Infinity", "-", "+", "0x", "1e999", "-0", ".5", "18446744073709551615",
            "9223372036854775807", "4294967296", "1e-320", "\n", "\r", "\u{2028}", "\u{FEFF}", "é",
            "\u{301}", "😀", "\0", "\u{1B}[2J", "=", ".",
        ].map { Array($0.utf8) } + [[0xFF], [0xC0, 0x80], [0xED, 0xA0, 0x80], [0xF4, 0x90]]
        + RunConfiguration.documentation.flatMap { entry in
            [entry.key, entry.default].map { Array($0.utf8) }
                + entry.key.split(separator: ".").map { Array($0.utf8) }
        }

    private static func mutated(_ seed: [UInt8], _ random: inout SplitMix) -> [UInt8] {
        var bytes = seed
        for _ in 0..<Int.random(in: 1...3, using: &random) {
            let start = Int.random(in: 0...bytes.count, using: &random)
            let end = min(bytes.count, start + Int.random(in: 0...12, using: &random))
            switch Int.random(in: 0..<6, using: &random) {
            case 0 where start < bytes.count:
                bytes[start] ^= 1 << UInt8.random(in: 0..<8, using: &random)
            case 1: bytes.removeSubrange(start..<end)
            case 2: bytes.insert(contentsOf: bytes[start..<end], at: start)
            case 3: bytes.removeSubrange(start...)
            case 4:
                bytes.replaceSubrange(
                    start..<end, with: tokens.randomElement(using: &random) ?? [])
            default:
                bytes.insert(contentsOf: tokens.randomElement(using: &random) ?? [], at: start)
            }
        }
        return bytes
    }

    @Test("100 000 damaged files and settings end in a configuration or a message, and soon")
    func mutations() {
        var random = SplitMix(state: 20_260_727)
        let files =
            [RunConfiguration.defaultText]
            + variants.compactMap { settings in
                (try? RunConfiguration.load(file: nil, settings: settings))?.canonicalJSON
            }
        let small = [
            "{model: {hidden: [64, 32], normalization: {scope: {group: 2}}}, batch: {shards: 4}}",
            "{data: {scaling: {mean: [0.1], std: [0.2]}, augment: []}, seed: 0x12}",
            "/* c */ {schedule: {kind: \"step\", milestones: [+1, 0x2, 3.e0,],},} // end",
            "{data: {name: 'idx', directory: '\\u0061\\\n/b'}, steps: 5e4}",
        ]
        let seeds = files.map { Array($0.utf8) } + small.map { Array($0.utf8) }
        let settings = variants.flatMap { $0 }.map { Array($0.utf8) }
        var loaded = 0
        var places = 0
        let start = processorSeconds()
        for i in 0..<100_000 {
            do throws(ConfigurationError) {
                let configuration: RunConfiguration
                if i % 4 == 3 {
                    let text = Self.mutated(settings[i / 4 % settings.count], &random)
                    configuration = try RunConfiguration.load(
                        file: nil, settings: [String(decoding: text, as: UTF8.self)])
                } else {
                    let text = Self.mutated(seeds[i % seeds.count], &random)
                    configuration = try RunConfiguration.load(bytes: text, name: "mutated.json5")
                }
                loaded += 1
                // What was accepted can be stored and used.
                _ = configuration.canonicalJSON
                try configuration.validate(ranks: 1)
                _ = try configuration.totalSteps(trainingSamples: 1_000_000_000)
                try configuration.checkStatisticsGroups(trainingSamples: 54_321)
            } catch {
                if error.location != nil { places += 1 }
                let lines = error.description.split(
                    separator: "\n", omittingEmptySubsequences: false)
                #expect(lines.count == (error.location == nil ? 1 : 3))
                #expect(error.description.utf8.count < 4000)
                #expect(!error.description.unicodeScalars.contains("\u{1B}"))
            }
        }
        // Both outcomes are common, or the mutations test nothing.
        #expect(loaded > 1_000 && places > 10_000)
        #expect(processorSeconds() - start < 20)
    }

    @Test("every beginning of the default file ends in a message")
    func truncations() {
        let bytes = Array(RunConfiguration.defaultText.utf8)
        for count in 0..<(bytes.count - 2) {
            #expect(throws: ConfigurationError.self) {
                try RunConfiguration.load(bytes: Array(bytes[..<count]), name: "cut.json5")
            }
        }
    }
}
