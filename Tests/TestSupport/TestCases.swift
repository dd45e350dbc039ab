import Foundation

/// How many cases a test draws from its seed.
package enum TestCases {
    /// BN_TEST_CASES, which `launch/test --cases` sets, or what is usual.
    package static func count(usually count: Int) -> Int {
        ProcessInfo.processInfo.environment["BN_TEST_CASES"].flatMap { Int($0) } ?? count
    }
}
