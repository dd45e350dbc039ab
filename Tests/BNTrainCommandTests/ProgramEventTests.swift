import Foundation
import TestSupport
import Testing
import Training

extension ProgramTests {
    @Suite("TensorBoard")
    struct Events {
        /// Reads a folder with TensorBoard's own reader and prints what it found.
        private static let reader = """
            from json import dumps
            from sys import argv
            from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
            events = EventAccumulator(argv[1], size_guidance={"histograms": 0}); events.Reload()
            tags = events.Tags()
            histogram = events.Histograms("layers.0.weight")[-1]
            print(dumps({
                "scalars": tags["scalars"], "histograms": tags["histograms"],
                "steps": [event.step for event in events.Scalars("loss/train")],
                "accuracy": events.Scalars("accuracy/test")[-1].value,
                "count": histogram.histogram_value.num,
                "counted": sum(histogram.histogram_value.bucket),
            }))
            """

        private static let hasTensorBoard =
            (try? runProcess(["python3", "-c", "import tensorboard"]).status) == 0

        private func files(_ place: Workplace) throws -> [String] {
            try place.names(in: "run").filter { $0.hasPrefix("events.out.tfevents.") }
        }

        private func train(_ place: Workplace, _ words: [String]) throws -> JSONObject {
            let result = try place.run(
                Workplace.short + words + ["--out", "run", "--overwrite", "--quiet", "--json"])
            result.expectSuccess()
            return try result.lastObject()
        }

        @Test("an event file is written where it is asked for, and changes no bit of the run")
        func written() throws {
            let place = try Workplace()
            let without = try train(place, [])
            #expect(try files(place) == [])
            let with = try train(place, ["--set", "tensorboard=true"])
            #expect(with["parameters_digest"] == without["parameters_digest"])
            #expect(try files(place).count == 1)
            // A new run takes the place of the old one's.
            _ = try train(place, ["--set", "tensorboard=true"])
            #expect(try files(place).count == 1)
            let bytes = try place.bytes(of: "run/\(files(place)[0])")
            #expect(String(decoding: bytes, as: UTF8.self).contains("brain.Event:2"))
            #expect(String(decoding: bytes, as: UTF8.self).contains("layers.0.weight"))
        }

        @Test(
            "TensorBoard reads the file",
            .enabled(if: hasTensorBoard, "python3 has no package tensorboard"))
        func readBack() throws {
            let place = try Workplace()
            let summary = try train(place, ["--set", "tensorboard=true"])
            let result = try runProcess(["python3", "-c", Self.reader, place.file("run")])
            try #require(result.status == 0, "\(result.stderr)")
            let found = try result.lastObject()
            #expect(found["steps"] == [20, 40])
            #expect(
                found["scalars"]?.array?.compactMap(\.string).sorted() == [
                    "accuracy/test", "accuracy/train", "images_per_second", "learning_rate",
                    "loss/test", "loss/train",
                ])
            #expect(found["histograms"]?.array?.contains("layers.0.weight") == true)
            let accuracy = try #require(summary["test_accuracy"]?.double)
            #expect(abs((found["accuracy"]?.double ?? 0) - accuracy) < 1e-6)
            #expect(found["count"]?.double == 784 * 16 && found["counted"]?.double == 784 * 16)
        }

        /// The steps of a scalar as TensorBoard has them.
        private func steps(_ place: Workplace) throws -> [Int] {
            let result = try runProcess(["python3", "-c", Self.reader, place.file("run")])
            try #require(result.status == 0, "\(result.stderr)")
            return try result.lastObject()["steps"]?.array?.compactMap(\.int) ?? []
        }

        private let often = [
            "--set", "tensorboard=true", "--set", "evaluate.everySteps=4", "--set",
            "checkpoint.everySteps=10", "--out", "run", "--quiet",
        ]
        private let everyFourth = Array(stride(from: 4, through: 40, by: 4))

        @Test(
            "each step stands there once, after kill -9 between checkpoints and after --overwrite",
            .enabled(if: hasTensorBoard, "python3 has no package tensorboard"))
        func killed() throws {
            let place = try Workplace()
            // Evaluations of steps 32 and 36 come after the checkpoint of step 30.
            let killed = try place.run(
                Workplace.short + often, environment: ["BN_TRAIN_PLANT": "throw=0@38"])
            #expect(killed.status == 70)
            #expect(try steps(place) == Array(everyFourth.dropLast()))
            try place.run(["--resume", "auto", "--out", "run", "--quiet"]).expectSuccess()
            #expect(try steps(place) == everyFourth)
            try place.run(Workplace.short + often + ["--overwrite"]).expectSuccess()
            #expect(try steps(place) == everyFourth)

            // Before the first checkpoint: the run begins again, and so do its figures.
            let other = try Workplace()
            let early = try other.run(
                Workplace.short + often, environment: ["BN_TRAIN_PLANT": "throw=0@9"])
            #expect(early.status == 70)
            #expect(try steps(other) == [4, 8])
            try other.run(["--resume", "auto", "--out", "run", "--quiet"]).expectSuccess()
            #expect(try steps(other) == everyFourth)
        }

        @Test(
            "each step stands there once after a rollback",
            .enabled(if: hasTensorBoard, "python3 has no package tensorboard"))
        func rolledBack() throws {
            let place = try Workplace()
            try place.run(
                Workplace.short + often + ["--set", "watch.nonFinite=rollback"],
                environment: ["BN_TRAIN_PLANT": "nan=6@39@loss"]
            ).expectSuccess()
            #expect(try steps(place) == everyFourth)
        }
    }
}
