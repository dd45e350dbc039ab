// MPICollectivesTests
