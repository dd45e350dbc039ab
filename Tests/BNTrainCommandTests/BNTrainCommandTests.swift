// BNTrainCommandTests
