import Configuration
import Datasets
import Layers
import TensorCore
import Testing

@testable import Training

@Suite("What inputs are scaled by, in files")
struct InputStatisticsTests {
    private func data(
        _ count: Int, _ index: UInt64, height: Int = 4, width: Int = 3, channels: Int = 1
    ) throws -> Dataset {
        let random = CounterRandom(seed: 5, purpose: .benchmark, index: index)
        return try Dataset(
            name: "random", height: height, width: width, channels: channels, classes: 3,
            images: (0..<count * height * width * channels).map {
                UInt8(random.integer(below: 40 + 10 * ($0 % 12), at: $0))
            },
            labels: (0..<count).map { UInt8($0 % 3) }, source: "random")
    }

    private func plan(
        _ scaling: String, _ training: Dataset, _ more: [String] = [],
        scaledAsIn file: SafetensorsFile? = nil
    ) throws -> RunPlan {
        let configuration = try RunConfiguration.load(
            text: "{}", name: "run.json5",
            settings: [
                "data.scaling=\(scaling)", "model.hidden=[5]", "batch={size: 12, shards: 3}",
                "epochs=1", "data.samples=1000",
            ] + more)
        return try RunPlan(
            configuration, data: DatasetPair(training: training, test: training),
            scaledAsIn: file)
    }

    static let fitted = ["standardize", "standardizeFeatures", "pca", "zca"]

    @Test(
        "a file's statistics scale other data with the bits of the run that fitted them",
        arguments: fitted, [1, 3])
    func roundTrip(scaling: String, channels: Int) throws {
        let ours = try plan(scaling, data(50, 1, channels: channels))
        let trainer = Trainer(ours)
        let written = trainer.file()
        let file = try SafetensorsFile(bytes: written.serialized, path: "m")
        let others = try data(30, 2, channels: channels)
        #expect(try plan(scaling, others).scaling != ours.scaling)
        #expect(try plan(scaling, others, scaledAsIn: file).scaling == ours.scaling)
        // They are beside the model, not of it.
        #expect(file.parametersDigest == trainer.replica.digest)
        #expect(file.metadata["parameters_digest"] == trainer.replica.digest)
        try Trainer(ours).replica.load(file)
    }

    @Test("means and deviations stand in the order of PyTorch's images")
    func order() throws {
        let training = try data(50, 1, channels: 3)
        let file = Trainer(try plan("standardizeFeatures", training)).file()
        let mean = try file.floats("input.mean")
        #expect(file["input.mean"]?.shape == [3, 4, 3])
        for channel in 0..<3 {
            for pixel in 0..<12 {
                let sum = (0..<50).reduce(0) {
                    $0 + Int(training.images[$1 * 36 + pixel * 3 + channel])
                }
                #expect(abs(Double(mean[channel * 12 + pixel]) - Double(sum) / 50 / 255) < 1e-6)
            }
        }
        let whitened = Trainer(try plan("zca", training)).file()
        let matrix = try whitened.floats("input.whitening")
        #expect(whitened["input.whitening"]?.shape == [36, 36])
        #expect(whitened.metadata["input"] == "zca")
        // Of the first two pixels of a row, the same channel: places 0 and 1 there, 0 and 3 here.
        guard case .matrix(let memory)? = try plan("zca", training).scaling.statistics?.transform
        else {
            Issue.record("no matrix")
            return
        }
        #expect(matrix[1] == memory[3])
        #expect(matrix[12 * 36 + 1] == memory[1 * 36 + 3])
    }

    @Test("another scaling than the file's is fitted, and scalings without numbers leave none")
    func others() throws {
        let training = try data(50, 1)
        let zca = Trainer(try plan("zca", training)).file()
        let fresh = try plan("pca", training)
        #expect(try plan("pca", training, scaledAsIn: zca).scaling == fresh.scaling)
        for scaling in ["unit", "none", "{mean: [0.1], std: [0.2]}"] {
            let file = Trainer(try plan(scaling, training)).file()
            #expect(!file.entries.contains { $0.isInputs } && file.metadata["input"] == nil)
        }
    }

    @Test("statistics of other images are refused")
    func shapes() throws {
        let file = try SafetensorsFile(
            bytes: Trainer(plan("standardizeFeatures", data(50, 1))).file().serialized, path: "m")
        #expect {
            _ = try plan("standardizeFeatures", data(50, 1, height: 3), scaledAsIn: file)
        } throws: {
            "\($0)"
                == "tensor 'input.mean' in 'm' has the shape [1, 4, 3] where the model has [1, 3, 3]; "
                + "use the config that the file was trained with"
        }
    }

    @Test("a run on whitened inputs has the same bits in any world", arguments: ["pca", "zca"])
    func worlds(scaling: String) throws {
        let training = try data(50, 1)
        var digests: Set<String> = []
        for threads in [1, 2, 3] {
            let trainer = Trainer(try plan(scaling, training))
            _ = try trainer.run(threads: threads)
            digests.insert(trainer.replica.digest)
        }
        #expect(digests.count == 1)
    }
}
