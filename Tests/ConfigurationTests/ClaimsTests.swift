import Testing

@testable import Configuration

@Suite("Claims files")
struct ClaimsTests {
    private func message(_ text: String) -> String {
        do throws(ConfigurationError) {
            _ = try ClaimsConfiguration.load(bytes: Array(text.utf8), name: "claims.json5")
            return "no error"
        } catch {
            return error.description
        }
    }

    @Test("a claim names its sweep and comparison, or why it is outside")
    func refusals() {
        #expect(
            message("{ claims: [{ claim: 'A' }] }") == """
                claims.json5:1:12: a claim needs claims.sweep: set it to the sweep that decides, or \
                outside
                    { claims: [{ claim: 'A' }] }
                               ^
                """)
        #expect(
            message("{ claims: [{ claim: 'A', sweep: 's', compare: { of: { k: 1 } } }] }") == """
                claims.json5:1:47: claims.compare: expected of and with, values of the same columns, \
                found only one side
                    { claims: [{ claim: 'A', sweep: 's', compare: { of: { k: 1 } } }] }
                                                                  ^
                """)
        #expect(
            message("{ claims: [{ claim: 'A', sweep: 's', compare: { is: 'hihger' } }] }") == """
                claims.json5:1:53: claims.compare.is: unknown name "hihger"; choose "higher", \
                "lower" or "equal"
                    { claims: [{ claim: 'A', sweep: 's', compare: { is: 'hihger' } }] }
                                                                        ^
                """)
    }
}
