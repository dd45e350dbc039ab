import FaultInjection
import TestSupport
import Testing
import Training

extension ProgramTests {
    @Suite("Faults for tests")
    struct PlantedFaults {
        @Test("the program that users have plants none, whatever the environment says")
        func notInTheProduct() throws {
            let place = try Workplace()
            let words = Workplace.short + ["--quiet", "--json"]
            let digest = try place.run(words).lastObject()["parameters_digest"]
            for fault in [
                "throw=0@3", "nan=3@25@input", "nan=6@25@loss", "flip=0@11@layers.0.weight",
                "TERM=0@9@forward",
            ] {
                let environment = [PlantedFault.variable: fault]
                let result = try runProcess(
                    ["-C", place.path, Workplace.program] + words, environment: environment)
                result.expectSuccess()
                #expect(try result.lastObject()["parameters_digest"] == digest)
                // It is one that the other program plants.
                let faulty = try place.run(words, environment: environment)
                #expect(
                    try faulty.status != 0
                        || faulty.lastObject()["parameters_digest"] != digest, "\(fault)")
            }
        }
    }
}
