import BNTrainCommand
import Foundation

runBNTrain(
    Array(CommandLine.arguments.dropFirst()), environment: ProcessInfo.processInfo.environment)
