import Foundation
import Testing

/// SwiftPM builds targets in an order, but does not notice that one imports what only another one
/// depends on.
struct RoomTests {
    private let table: PackageTable

    init() throws {
        table = try PackageTable()
    }

    @Test("the table of Package.swift is read: every folder of Sources is in it, with its rooms")
    func everyFolderIsATarget() throws {
        let folders = try FileManager.default.contentsOfDirectory(
            atPath: Repository.folder.appending(path: "Sources").path)
        let known = Set(table.rooms.keys).union(PackageTable.cModules)
        #expect(Set(folders).subtracting(known) == [])
        #expect(table.rooms["Kernels"] == ["TensorCore", "CPlatform"])
        #expect(table.rooms["MPICollectives"] == ["Collectives", "CMPI"])
        #expect(table.rooms["TestSupport"]?.isEmpty == false)
        #expect(table.rooms["bn-train"] == ["BNTrainCommand"])
        #expect(table.rooms["bn-train-with-faults"] == ["BNTrainCommand", "FaultInjection"])
        #expect(
            table.tests["KernelsTests"] == [
                "Kernels", "KernelReferences", "TensorCore", "TestSupport",
            ])
        #expect(table.tests.count >= 13)
    }

    @Test("an import line is read, whatever stands before it")
    func importLines() throws {
        let imports = try Repository.imports("Sources/MPICollectives/MPITransport.swift")
        #expect(imports.contains("Collectives"))
        #expect(imports.contains("CMPI"))
        let own = try Repository.imports("Tests/ArchitectureTests/Repository.swift")
        #expect(own == ["Foundation", "TestSupport"])
    }

    @Test("a room imports only what the table allows it")
    func roomImports() throws {
        for (room, allowed) in table.rooms {
            try expectImports(in: table.folder(of: room), allowed)
        }
    }

    @Test("what only tests need is in no product, and no source knows of it")
    func onlyForTests() throws {
        let notProduct: Set = [
            "FaultInjection", "bn-train-with-faults", "KernelReferences", "TestSupport",
        ]
        #expect(notProduct.allSatisfy { table.folder(of: $0).hasPrefix("Tests/") })
        for room in table.ownRooms {
            #expect(table.rooms[room]?.isDisjoint(with: notProduct) == true, "\(room)")
        }
        let package = try Repository.text("Package.swift")
        let products = try #require(package.firstMatch(of: /(?s)products: \[.*?\n    \],/)?.0)
        #expect(products.contains("BNTrain") && !notProduct.contains { products.contains($0) })
        for file in Repository.swiftFiles(in: "Sources") {
            let text = try Repository.text(file).lowercased()
            #expect(!text.contains("plant"), "\(file)")
        }
    }

    @Test("a test target imports only what the table allows it")
    func testImports() throws {
        for (target, allowed) in table.tests { try expectImports(in: "Tests/\(target)", allowed) }
    }

    @Test("tensors, collectives and the configuration know no other room")
    func foundations() {
        for room in ["TensorCore", "Collectives", "Configuration"] {
            let swift = table.rooms[room]?.subtracting(PackageTable.cModules)
            #expect(swift == [], "\(room)")
        }
        #expect(table.rooms["Configuration"] == [])
    }

    @Test("only the command chooses between threads and ranks")
    func oneSwitch() {
        // Tests that run in ranks get their session from TestSupport.
        let users = table.rooms.filter { $0.value.contains("MPICollectives") }.map(\.key)
            .filter { $0 != "TestSupport" }
        #expect(users == ["BNTrainCommand"])
    }

    private func expectImports(in folder: String, _ allowed: Set<String>) throws {
        let files = Repository.swiftFiles(in: folder)
        #expect(!files.isEmpty, "\(folder)")
        for file in files {
            let wrong = try Set(Repository.imports(file))
                .subtracting(allowed).subtracting(PackageTable.toolchain)
            #expect(wrong == [], "\(file)")
        }
    }
}
