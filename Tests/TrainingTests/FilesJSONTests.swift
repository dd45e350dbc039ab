import Testing
import Training

@Suite("JSON values")
struct FilesJSONTests {
    @Test("members keep their order, and NaN and infinities become null")
    func rendering() {
        let value: JSONValue = [
            "z": 1, "a": [true, false, nil], "b": .double(.nan), "c": .double(-.infinity),
            "d": .double(0.1), "e": .double(1e-5), "f": .double(-0.0), "g": "tab\t\"\\\u{1}é",
        ]
        #expect(
            value.text
                == #"{"z":1,"a":[true,false,null],"b":null,"c":null,"d":0.1,"e":1e-05,"f":-0.0,"#
                + #""g":"tab\t\"\\\u0001é"}"#)
    }

    @Test("every Float64 is read back with the same bits")
    func roundTrip() throws {
        var generator = SeededGenerator(state: 7)
        var tested = 0
        while tested < 20_000 {
            let value = Double(bitPattern: generator.next())
            guard value.isFinite else { continue }
            tested += 1
            let read = try JSONValue(parsing: JSONValue.double(value).text).double
            #expect(read?.bitPattern == value.bitPattern)
        }
    }

    @Test("a value survives rendering and parsing")
    func structure() throws {
        let value: JSONValue = [
            "empty": [:], "list": [[], [1, -2.5, "x"]], "text": "𝄞\n\u{2028}", "none": nil,
            "large": .int(.max), "small": .int(.min),
        ]
        #expect(try JSONValue(parsing: value.text) == value)
        #expect(try JSONValue(parsing: #" "\ud834\udd1e\u00e9\/" "#) == "𝄞é/")
    }

    @Test(
        "what is not JSON is an error that says where",
        arguments: [
            ("", "the text ends too early at byte 0"),
            ("[1,]", "there is no value at byte 3"),
            ("[1 2]", "a comma or a closing bracket is missing at byte 3"),
            ("{\"a\" 1}", "a colon is missing at byte 5"),
            ("{a:1}", "a name in quotes is missing at byte 1"),
            ("{\"a\":1,\"a\":2}", "the name 'a' occurs twice at byte 7"),
            ("01", "a number starts with zero at byte 0"),
            ("1e999", "a number is too large at byte 0"),
            ("-", "a digit is missing at byte 1"),
            ("\"a", "a string is not closed at byte 0"),
            ("\"\n\"", "a control character is not escaped at byte 1"),
            ("\"\\x\"", "an escape is unknown at byte 1"),
            ("\"\\ud834\"", "half a surrogate pair at byte 1"),
            ("\"\\udd1e\"", "half a surrogate pair at byte 1"),
            ("\"\\u12g4\"", "an escape needs four hexadecimal digits at byte 1"),
            ("1 1", "there is text after the value at byte 2"),
            ("{\"a\":1", "a comma or a closing brace is missing at byte 6"),
            (String(repeating: "[", count: 100), "more than 64 levels are nested at byte 64"),
        ])
    func errors(text: String, expected: String) {
        #expect(message { _ = try JSONValue(parsing: text) } == expected)
    }
}
