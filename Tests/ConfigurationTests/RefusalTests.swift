import Foundation
import Testing

@testable import Configuration

/// A configuration that is refused, and the whole message.
struct Refusal: CustomTestStringConvertible {
    /// The text of run.json5; nil: no file.
    let text: String?
    let settings: [String]
    let message: String

    init(_ text: String?, set settings: [String] = [], _ message: String) {
        self.text = text
        self.settings = settings
        self.message = message
    }

    var testDescription: String { ([text ?? ""] + settings).joined(separator: " ") }

    /// The message that loading gives; nil if it loads.
    var actual: String? {
        do throws(ConfigurationError) {
            if let text {
                _ = try RunConfiguration.load(text: text, name: "run.json5", settings: settings)
            } else {
                _ = try RunConfiguration.load(file: nil, settings: settings)
            }
            return nil
        } catch { return error.description }
    }
}

struct RefusalTests {
    @Test("what is not JSON5 is refused at its place", arguments: Refusal.syntax)
    func syntax(refusal: Refusal) { #expect(refusal.actual == refusal.message) }

    @Test("keys and values that do not exist are refused at their place", arguments: Refusal.values)
    func values(refusal: Refusal) { #expect(refusal.actual == refusal.message) }

    @Test("values that do not go together are refused", arguments: Refusal.relations)
    func relations(refusal: Refusal) { #expect(refusal.actual == refusal.message) }

    @Test("settings of loss, optimizer and schedule are refused", arguments: Refusal.optimization)
    func optimization(refusal: Refusal) { #expect(refusal.actual == refusal.message) }

    @Test("a --set is refused at its place", arguments: Refusal.settings)
    func settings(refusal: Refusal) { #expect(refusal.actual == refusal.message) }

    @Test("a byte that is not UTF-8 is refused at its place")
    func invalidUTF8() {
        #expect(throws: ConfigurationError.self) {
            try RunConfiguration.load(bytes: Array("{ seed: 'é".utf8) + [0xFF], name: "r.json5")
        }
        do throws(ConfigurationError) {
            _ = try RunConfiguration.load(
                bytes: Array("{\n seed: 'é".utf8) + [0xC3, 0x27, 0x7D], name: "r.json5")
        } catch {
            #expect(
                error.description == """
                    r.json5:2:10: the byte 0xC3 is not UTF-8: save the file as UTF-8 text
                         seed: 'é\u{FFFD}'}
                                 ^
                    """)
        }
    }

    @Test("a file that is missing, a folder, too large or not readable is refused")
    func files() throws {
        func message(_ file: String) -> String? {
            do throws(ConfigurationError) {
                _ = try RunConfiguration.load(file: file, settings: [])
                return nil
            } catch {
                #expect(error.location == nil)
                return error.description
            }
        }
        #expect(
            message("nowhere.json5") == """
                there is no configuration file "nowhere.json5": correct --config, or leave it out \
                for the embedded default
                """)
        #expect(
            message("/tmp") == """
                the configuration file "/tmp" cannot be read: it is a folder; name the file in it
                """)
        #expect(
            message("/dev/zero") == """
                /dev/zero is larger than 1048576 bytes: a configuration has a few thousand; is \
                this the right file?
                """)
        #expect(
            message("/proc/self/mem") == """
                the configuration file "/proc/self/mem" cannot be read: reading failed; check the \
                disk
                """)
    }

    @Test("the source line of a message has no control characters and fits a screen")
    func longLines() throws {
        let start = String(repeating: "1, ", count: 40_000)
        let error = try #require(throws: ConfigurationError.self) {
            try RunConfiguration.load(
                text: "{ model: { hidden: [" + start + "2.5, \u{1B}[2J" + start + "] } }", name: "r"
            )
        }
        let lines = error.description.split(separator: "\n")
        #expect(lines.count == 3)
        #expect(lines.allSatisfy { $0.count < 160 && !$0.unicodeScalars.contains("\u{1B}") })
        // The caret stands below the character it is about.
        let caret = try #require(lines[2].firstIndex(of: "^"))
        let column = lines[2].distance(from: lines[2].startIndex, to: caret)
        #expect(lines[1].dropFirst(column).first == "\u{FFFD}")
    }
}
