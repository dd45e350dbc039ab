import Foundation
import Testing

@testable import Configuration

struct JSON5Tests {
    private func parse(_ text: String) throws -> JSON5Value {
        try parse(bytes: Array(text.utf8))
    }

    private func parse(bytes: [UInt8]) throws -> JSON5Value {
        try JSON5Parser.parse(
            Source(name: "x.json5", bytes: bytes, origin: .file, directory: "."))
    }

    private func string(_ text: String) throws -> String? {
        guard case .string(let string) = try parse(text).content else { return nil }
        return string
    }

    @Test(
        "numbers read as JSON5 says",
        arguments: [
            ("0", 0, 0), ("-0", -0.0, 0), ("12", 12, 12), ("+12", 12, 12), ("-12", -12, nil),
            (".5", 0.5, nil), ("5.", 5, 5), ("5.e1", 50, 50), ("-.5E-1", -0.05, nil),
            ("1e3", 1000, 1000), ("0xFF", 255, 255), ("-0x10", -16, nil),
            ("0xdecAF", 0xDECAF, 0xDECAF),
            ("Infinity", Double.infinity, nil), ("-Infinity", -Double.infinity, nil),
            ("1e999", Double.infinity, nil), ("18446744073709551615", 0x1p64, UInt64.max),
            ("18446744073709551616", 0x1p64, nil), ("0xFFFFFFFFFFFFFFFF", 0x1p64, UInt64.max),
            ("0x10000000000000000", 0x1p64, nil), ("9007199254740993.0", 0x1p53, 1 << 53),
            ("1e17", 1e17, nil),
        ] as [(String, Double, UInt64?)])
    func numbers(text: String, value: Double, whole: UInt64?) throws {
        #expect(try parse(text).content == .number(.init(value: value, whole: whole)))
    }

    @Test("NaN reads as NaN", arguments: ["NaN", "+NaN", "-NaN"])
    func notANumber(text: String) throws {
        guard case .number(let number) = try parse(text).content else {
            Issue.record("no number")
            return
        }
        #expect(number.value.isNaN && number.whole == nil)
    }

    @Test("strings read as JSON5 says")
    func strings() throws {
        #expect(try string(#""a'b""#) == "a'b")
        #expect(try string(#"'a"b'"#) == "a\"b")
        #expect(try string(#"'\b\f\n\r\t\v\0\'\"\\\/\A'"#) == "\u{8}\u{C}\n\r\t\u{B}\0'\"\\/A")
        #expect(try string(#"'\x41\u00e9\uD83D\uDE00'"#) == "Aé😀")
        #expect(try string("'one \\\n two \\\r\n three \\\u{2028}'") == "one  two  three ")
        #expect(try string("'é😀\u{2028}'") == "é😀\u{2028}")
    }

    @Test("comments, blanks, trailing commas and unquoted keys")
    func leniencies() throws {
        let text = """
            \u{FEFF}// line
            /* block ** / */ {\u{A0}
              plain: 1, $dollar_: 2, 'single': 3, "double": 4, été: 5, \\u0061b: 6,
              list: [1, [], {}, 2,], // the end\r}
            \u{2003}/**/
            """.replacingOccurrences(of: "\r", with: "\n")
        guard case .object(let members) = try parse(text).content else {
            Issue.record("no object")
            return
        }
        #expect(
            members.map(\.key)
                == ["plain", "$dollar_", "single", "double", "été", "ab", "list"])
        guard case .array(let list) = members[6].value.content else {
            Issue.record("no list")
            return
        }
        #expect(list.count == 4)
    }

    @Test("every key and value knows its bytes, and a place knows its line and column")
    func positions() throws {
        let text = "{\r\n\tété: 'x', // 1\r  b: [10,\n 20]}"
        let source = Source(name: "x", bytes: Array(text.utf8), origin: .file, directory: ".")
        guard case .object(let members) = try JSON5Parser.parse(source).content,
            case .array(let list) = members[1].value.content
        else {
            Issue.record("no object with a list")
            return
        }
        func slice(_ range: SourceRange) -> String {
            String(decoding: source.bytes[range.bytes], as: UTF8.self)
        }
        func place(_ range: SourceRange) -> [Int?] {
            let location = source.location(at: range.bytes.lowerBound)
            return [location.line, location.column]
        }
        #expect(slice(members[0].keyRange) == "été")
        #expect(slice(members[0].value.range) == "'x'")
        #expect(slice(members[1].value.range) == "[10,\n 20]")
        #expect(place(members[0].keyRange) == [2, 2])
        #expect(place(members[0].value.range) == [2, 7])
        #expect(place(members[1].keyRange) == [3, 3])
        #expect(place(list[0].range) == [3, 7])
        #expect(place(list[1].range) == [4, 2])
    }

    @Test("64 levels are read, 65 are refused, and so are a million")
    func depth() throws {
        for depth in [64, 65, 1_000_000 / 2] {
            let text =
                String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
            let isRead = (try? parse(text)) != nil
            #expect(isRead == (depth <= 64))
        }
    }

    @Test("a text of the greatest size is read, a byte more is refused")
    func size() throws {
        let blanks = [UInt8](repeating: 0x20, count: JSON5Parser.sizeLimit - 1)
        #expect(try parse(bytes: blanks + [0x31]) == parse("1"))
        #expect(throws: ConfigurationError.self) { try parse(bytes: blanks + [0x20, 0x31]) }
    }

    @Test(
        "what is not JSON5 is refused",
        arguments: [
            "", " ", "{", "[", "[1", "[1,", "[,]", "[1,,2]", "{,}", "{a}", "{a:}", "{a:1 b:2}",
            "{1: 2}", "{a-b: 1}", "1 2", "01", "-", "+", ".", "0x", "1e", "1e+", "--1", "- 1",
            "1_0", "0b1", "1.2.3", "12px", "nul", "True", "undefined", "'", "'a\n'", "\"a'", "'\\",
            #"'\x4'"#, #"'\u12'"#, #"'\u{41}'"#, #"'\1'"#, #"'\01'"#, #"'\uD800'"#, #"'\uDC00'"#,
            #"'\uD800\u0041'"#, #"{\u0031a: 1}"#, #"{\x41: 1}"#, "/* ", "/", "#", "{a: 1}}", "]",
            "{a: 1, a: 2}", "{a: 1, 'a': 2}", "{a: 1, \\u0061: 2}", "`a`", "\0",
        ])
    func refusals(text: String) {
        #expect(throws: ConfigurationError.self) { try parse(text) }
    }
}
