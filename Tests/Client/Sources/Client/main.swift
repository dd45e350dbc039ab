import Configuration
import Datasets
import Training

// A LeNet with synchronised batch normalisation, on two threads.
let configuration = try RunConfiguration.load(
    file: nil,
    settings: [
        "model.name=lenet", "data.samples=2000", "data.testSamples=500", "batch.size=50",
        "optimizer.learningRate=0.1", "optimizer.momentum=0.9", "epochs=2",
    ])
let digits = SyntheticDigits.pair(
    seed: configuration.seed, trainingCount: 2000, testCount: 500)
let trainer = Trainer(try RunPlan(configuration, data: digits))
let outcome = try trainer.run(threads: 2)
print("accuracy \(outcome.last.test?.accuracy ?? 0), parameters \(trainer.replica.digest)")
