import Foundation
import TestSupport
import Testing
import Training

/// `bn-train verify`, as it is run.
@Suite("bn-train verify", .enabled(if: rankTestRanks == nil))
struct VerifyProgramTests {
    private static let program = builtProgram("bn-train")
    private static let words =
        ["verify", "--json"]
        + [
            "data.samples=120", "data.testSamples=40", "batch.size=24", "batch.shards=8",
            "model.hidden=[12]",
        ].flatMap { ["--set", $0] }

    /// The object on the last line of standard output.
    private func object(_ result: ProcessResult) throws -> JSONValue {
        let line = try #require(result.stdout.split(separator: "\n").last, "\(result.stderr)")
        return try JSONValue(parsing: String(line))
    }

    /// The lines of standard error that give a verdict.
    private func verdicts(_ result: ProcessResult) -> [String] {
        result.stderr.split(separator: "\n").filter { $0.hasPrefix("verdict") }.map(String.init)
    }

    @Test("threads agree with the Float64 trainer, tensor by tensor")
    func threads() throws {
        let result = try runProcess([Self.program] + Self.words + ["--threads", "3"])
        #expect(result.status == 0, "\(result.stderr)")
        let object = try object(result)
        #expect(object["command"]?.string == "verify")
        #expect(object["steps"]?.int == 20)
        #expect(object["world"]?["workers"]?.int == 3)
        #expect(object["agrees"]?.bool == true)
        #expect(object["worlds"] == .null)
        #expect(object["parameters_digest"]?.string?.count == 64)
        let tensors = try #require(object["tensors"]?.array)
        #expect(
            tensors.map { $0["name"]?.string } == [
                "layers.0.weight", "layers.1.weight", "layers.1.bias", "layers.1.running_mean",
                "layers.1.running_var", "layers.3.weight", "layers.3.bias",
            ])
        for tensor in tensors {
            let relative = try #require(tensor["relative"]?.double)
            #expect(relative > 0 && relative < 1e-5)
            #expect(result.stderr.contains(try #require(tensor["name"]?.string)))
        }
        #expect(verdicts(result).count == 1)
        #expect(verdicts(result)[0].contains("trains as one Float64 trainer"))
    }

    @Test("MPI_Allreduce's sums agree with it, too", arguments: ["tree", "mpi"])
    func collectives(kind: String) throws {
        let result = try runProcess(
            [Self.program] + Self.words
                + ["--threads", "3", "--steps", "7", "--set", "collectives=\(kind)"])
        #expect(result.status == 0, "\(result.stderr)")
        #expect(try object(result)["steps"]?.int == 7)
    }

    @Test("a run that diverges says so, and ends in its own code")
    func diverges() throws {
        let result = try runProcess(
            [Self.program] + Self.words
                + [
                    "--set", "model.normalization.kind=none", "--set", "model.activation=relu",
                    "--set", "optimizer.learningRate=1e30",
                ])
        #expect(result.status == 73)
        #expect(result.stderr.contains("training diverged at step 2 (epoch 1): layer layers.2"))
    }

    @Test(
        "ranks agree with it, and only one of them speaks", .enabled(if: mpirunIsInstalled),
        arguments: [2, 3])
    func ranks(ranks: Int) throws {
        let result = try mpirun(
            ranks: ranks, program: Self.program,
            arguments: Self.words + ["--worlds", "--steps", "5"])
        #expect(result.status == 0, "\(result.stderr)")
        #expect(verdicts(result).count == 1)
        // From inside mpirun only worlds of threads can be run.
        let worlds = try #require(try object(result)["worlds"]?.array)
        #expect(worlds.map { $0["threads"]?.int } == [1, 2, 3, 4, 7, 8])
        #expect(worlds.allSatisfy { $0["same"]?.bool == true && $0["ranks"]?.int == 1 })
    }

    @Test(
        "all worlds have the same bits, and sums that move with the world are found",
        .timeLimit(.minutes(2)))
    func worlds() throws {
        try withTemporaryFolder { folder in
            let expected = mpirunIsInstalled ? 12 : 6
            for moves in [false, true] {
                let result = try runProcess(
                    [Self.program] + Self.words
                        + [
                            "--worlds", "--steps", "6", "--threads", "2",
                            "--set", "collectives=\(moves ? "mpi" : "tree")",
                        ], environment: ["TMPDIR": folder])
                #expect(result.status == (moves ? 1 : 0), "\(result.stderr)")
                let object = try object(result)
                let worlds = try #require(object["worlds"]?.array)
                let digest = try #require(object["parameters_digest"]?.string)
                #expect(worlds.count == expected)
                let different = worlds.filter { $0["digest"]?.string != digest }
                #expect(different.isEmpty != moves, "\(result.stderr)")
                #expect(worlds.allSatisfy { $0["digest"]?.string?.count == 64 })
                #expect(object["agrees"]?.bool == !moves)
                let verdict = verdicts(result).joined()
                #expect(
                    verdict.contains(
                        moves
                            ? "DIFFERENT bits in \(different.count) of \(expected) other worlds"
                            : "\(expected) other worlds gave the same bits"))
                // The runs of the ranks leave nothing behind.
                #expect(try names(in: folder).filter { $0.contains("verify") } == [])
            }
        }
    }
}
