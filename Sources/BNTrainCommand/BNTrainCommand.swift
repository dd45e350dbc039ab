// BNTrainCommand
