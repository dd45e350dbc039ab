import Foundation
import Testing
import Training

@testable import BNTrainCommand

/// This process's environment without proxies.
private let environment = ProcessInfo.processInfo.environment.filter {
    !$0.key.lowercased().hasSuffix("_proxy")
}

let hasCurl = (environment["PATH"] ?? "").split(separator: ":")
    .contains { FileManager.default.isExecutableFile(atPath: "\($0)/curl") }

/// Downloads from the loopback address, where curl is installed.
@Suite(.serialized, .enabled(if: hasCurl, "there is no curl on PATH"))
struct GetDataTests {
    private let content = (0..<300_000).map {
        UInt8(truncatingIfNeeded: ($0 &* 2_654_435_761) >> 9)
    }

    private var file: KnownDataset.File {
        let digest = SHA256()
        digest.update(content)
        return KnownDataset.File(name: "a.gz", size: content.count, sha256: digest.finish())
    }

    private func download(
        _ place: Workplace, _ mirrors: [String],
        environment variables: [String: String] = environment
    ) -> Download {
        Download(
            file: file, directory: place.path, mirrors: mirrors, environment: variables,
            progress: { _ in }, patience: 5)
    }

    /// The file is there, whole, and nothing is beside it.
    private func expectDone(_ place: Workplace, _ download: Download) throws {
        #expect(try download.isDone())
        #expect(try place.bytes(of: "a.gz") == content)
        #expect(try place.names(in: ".") == ["a.gz"])
    }

    private func message(_ download: Download) -> String {
        let error = #expect(throws: GetDataError.self) { try download.run() }
        return error.map { "\($0)" } ?? ""
    }

    @Test("a file comes whole, and once")
    func whole() throws {
        let place = try Workplace()
        let server = try RangeServer(["/d/a.gz": content])
        defer { server.stop() }
        let download = download(place, [server.address + "d"])
        #expect(try !download.isDone())
        try download.run()
        try expectDone(place, download)
        #expect(server.requests == ["/d/a.gz from 0"])
    }

    @Test("a download that broke off goes on where it ended, also from another mirror")
    func resumes() throws {
        let place = try Workplace()
        let server = try RangeServer(["/a.gz": content], .hangsUp(after: 100_000))
        defer { server.stop() }
        let download = download(place, [server.address])
        let text = message(download)
        #expect(
            text.hasPrefix(
                "\(place.path)/a.gz could not be downloaded: \(server.address): curl: (18) "))
        #expect(
            text.hasSuffix(
                "; check the connection and https_proxy, or give another place with --mirror URL; "
                    + "the same command goes on where this one ended"))
        #expect(try place.bytes(of: "a.gz.part") == Array(content.prefix(100_000)))
        server.set(.none)
        try download.run()
        try expectDone(place, download)
        #expect(server.requests == ["/a.gz from 0", "/a.gz from 100000"])
    }

    @Test("mirrors are tried in turn: dead, without the file, broken off, with another file")
    func mirrors() throws {
        let place = try Workplace()
        let faulty = try RangeServer(
            ["/cut/a.gz": content], .hangsUp(after: 50_000))
        let other = try RangeServer(["/other/a.gz": Array(content.reversed())])
        let good = try RangeServer(["/a.gz": content])
        defer { for server in [faulty, other, good] { server.stop() } }
        let dead = try RangeServer([:])
        dead.stop()
        let download = download(
            place,
            [
                dead.address, faulty.address + "nothing/", faulty.address + "cut",
                other.address + "other", good.address,
            ])
        try download.run()
        try expectDone(place, download)
        // The part of the third was no beginning of the fourth's file, which was then fetched whole.
        #expect(
            other.requests == ["/other/a.gz from 50000", "/other/a.gz from 0"])
        #expect(good.requests == ["/a.gz from 0"])
    }

    @Test("a server without ranges, and a part longer than the file, begin again")
    func noRanges() throws {
        let place = try Workplace()
        let server = try RangeServer(["/a.gz": content], .ignoresRanges)
        defer { server.stop() }
        let download = download(place, [server.address])
        try place.write(Array(content.prefix(1000)), to: "a.gz.part")
        try download.run()
        try expectDone(place, download)
        server.set(.none)
        try FileManager.default.removeItem(atPath: place.file("a.gz"))
        try place.write(content + [1, 2], to: "a.gz.part")
        try download.run()
        try expectDone(place, download)
    }

    @Test("a whole part is taken as it is; a damaged file is replaced")
    func parts() throws {
        let place = try Workplace()
        let download = download(place, ["http://127.0.0.1:1/"])
        try place.write(content, to: "a.gz.part")
        try download.run()
        try expectDone(place, download)

        let server = try RangeServer(["/a.gz": content])
        defer { server.stop() }
        try place.write(Array(content.dropLast()), to: "a.gz")
        let again = self.download(place, [server.address])
        #expect(try !again.isDone())
        try again.run()
        try expectDone(place, again)
    }

    @Test("another file under the name is refused and leaves nothing")
    func wrongFile() throws {
        let place = try Workplace()
        let server = try RangeServer(["/a.gz": Array("<html>".utf8)])
        defer { server.stop() }
        let error = #expect(throws: GetDataError.self) {
            try download(place, [server.address]).run()
        }
        let digest = SHA256.digest(of: "<html>")
        #expect(
            error.map { "\($0)" }
                == "\(place.path)/a.gz from \(server.address)a.gz is not the published file: its "
                + "SHA-256 is \(digest), not \(file.sha256); try again, or give another place with "
                + "--mirror URL")
        #expect(error?.code == .badData)
        #expect(try place.names(in: ".") == [])
    }

    @Test("a proxy of the environment is used")
    func proxy() throws {
        let place = try Workplace()
        let proxy = try RangeServer(["http://data.invalid/a.gz": content])
        defer { proxy.stop() }
        var variables = environment
        variables["http_proxy"] = proxy.address
        let download = download(place, ["http://data.invalid/"], environment: variables)
        try download.run()
        try expectDone(place, download)
    }

    @Test("without curl, without room and without a server the error says what to do")
    func failures() throws {
        let place = try Workplace()
        let missing = download(place, ["http://127.0.0.1:1/"], environment: ["PATH": place.path])
        #expect(
            message(missing)
                == "there is no curl on PATH, which downloads: install it (apt install curl), or "
                + "fetch the files in another way")
        let server = try RangeServer(["/a.gz": content], .unavailable)
        defer { server.stop() }
        let error = #expect(throws: GetDataError.self) {
            try download(place, [server.address]).run()
        }
        #expect(error?.code == .inputOutput)
        #expect("\(error.map { "\($0)" } ?? "")".contains("503"))
        // A folder stands where the part would go: curl cannot write.
        try FileManager.default.createDirectory(
            atPath: place.file("a.gz.part"), withIntermediateDirectories: false)
        server.set(.none)
        #expect(throws: (any Error).self) { try download(place, [server.address]).run() }
    }

    @Test("the table is whole: names, sizes, checksums, and a folder that configurations know")
    func table() throws {
        for dataset in KnownDataset.all {
            #expect(try KnownDataset.named(dataset.name).folder == dataset.folder)
            #expect(dataset.folder.hasPrefix("data/"))
            #expect(dataset.mirrors.count >= 2)
            #expect(dataset.mirrors.allSatisfy { $0.hasPrefix("http") && $0.hasSuffix("/") })
            for file in dataset.files {
                #expect(file.size > 0 && file.sha256.count == 64)
                #expect(file.sha256.allSatisfy { $0.isHexDigit && !$0.isUppercase })
            }
        }
        let error = #expect(throws: GetDataError.self) { try KnownDataset.named("imagenet") }
        #expect(
            error.map { "\($0)" }
                == "there is no data set 'imagenet' to get: it is one of mnist, fashion, cifar10, "
                + "cifar100")
    }
}
