import BNTrainCommand
import FaultInjection
import Foundation

// bn-train, with the fault in its steps that the environment names: a program for tests alone.
let words = Array(CommandLine.arguments.dropFirst())
let environment = ProcessInfo.processInfo.environment
guard let fault = environment[PlantedFault.variable].flatMap({ PlantedFault($0) }) else {
    runBNTrain(words, environment: environment)
}
runBNTrain(words, environment: environment, instruments: fault.instruments)
