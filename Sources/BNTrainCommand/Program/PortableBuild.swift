import CPlatform
import Foundation

/// The builds that `launch/setup --portable` puts beside each other: bin/bn-train for any x86-64, and
/// libexec/bn-train/x86-64-v3/bn-train and -v4 for CPUs with AVX2 and AVX-512. All give the same bits.
enum PortableBuild {
    /// Goes on as the fastest build that this CPU runs, where there is one beside this program that is
    /// faster; with the same words, environment and process, so that mpirun sees no difference.
    static func becomeFastest() {
        guard bn_compiled_x86_64_level() == 2, let program = Self.program,
            let build = fastest(beside: program, level: Int(bn_x86_64_level()))
        else { return }
        // Where this fails, this build goes on.
        execv(build, CommandLine.unsafeArgv)
    }

    /// The file of the fastest build beside `program` that CPUs of an x86-64 level run, of levels 3 and 4.
    static func fastest(beside program: String, level: Int) -> String? {
        let folder = URL(fileURLWithPath: program).deletingLastPathComponent()
        return stride(from: level, to: 2, by: -1).lazy.map {
            folder.deletingLastPathComponent()
                .appendingPathComponent("libexec/bn-train/x86-64-v\($0)/bn-train").path
        }.first { access($0, X_OK) == 0 }
    }

    private static var program: String? {
        try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
    }
}
