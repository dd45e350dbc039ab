// swift-tools-version: 6.1
import PackageDescription

// A package outside this one, as a user of the library would have it; built and run by launch/test.
let package = Package(
    name: "Client",
    dependencies: [.package(name: "bn-train", path: "../..")],
    targets: [
        .executableTarget(
            name: "Client", dependencies: [.product(name: "BNTrain", package: "bn-train")])
    ]
)
