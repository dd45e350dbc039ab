import Glibc

/// The regular files of a data directory: what else has a file's name, such as a folder that an
/// unpacking tool has made for one file, is none.
struct DataFolder {
    let path: String

    /// The names in it, sorted; none where it cannot be read.
    let names: [String]

    init(_ path: String) {
        self.path = path
        var names: [String] = []
        if let folder = opendir(path) {
            defer { closedir(folder) }
            while let entry = readdir(folder) {
                let name = withUnsafeBytes(of: entry.pointee.d_name) { bytes in
                    String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
                }
                if name != ".", name != ".." { names.append(name) }
            }
        }
        self.names = names.sorted()
    }

    /// The path of the first of these names, or of its packed form, that is a regular file here, or
    /// the file of that name in a folder of that name.
    func file(_ spellings: [String]) -> String? {
        for name in spellings.flatMap({ [$0, $0 + ".gz"] }) {
            let path = joined(path, name)
            if isRegularFile(path) { return path }
            for inner in [name, name + ".gz"] where isDirectory(path) {
                if isRegularFile(joined(path, inner)) { return joined(path, inner) }
            }
        }
        return nil
    }

    /// What is in it, for a message about files of `origin`, which may be `elsewhere` in it.
    func content(for origin: DataOrigin, elsewhere: String? = nil) -> FolderContent {
        let shown = names.filter { !$0.hasPrefix(".") }
        let few = shown.prefix(5).map { isDirectory(joined(path, $0)) ? $0 + "/" : $0 }
        return FolderContent(
            names: few.joined(separator: ", ")
                + (shown.count > few.count ? " and \(shown.count - few.count) more" : ""),
            isEmpty: isEmpty, kind: isEmpty ? nil : kind(besides: origin), elsewhere: elsewhere)
    }

    /// What its files are, where that is known and not what was asked for.
    private func kind(besides origin: DataOrigin) -> FolderContent.Kind? {
        func has(_ endings: String...) -> Bool {
            names.contains { name in endings.contains { name.lowercased().hasSuffix($0) } }
        }
        if origin != .cifar10, has("data_batch_1.bin", "cifar-10-binary.tar.gz") {
            return .of(.cifar10)
        }
        if origin != .cifar100, has("cifar-100-binary.tar.gz") { return .of(.cifar100) }
        if has("data_batch_1", "cifar-10-python.tar.gz", "cifar-100-python.tar.gz") {
            return .notRead("CIFAR's Python version, which is not read")
        }
        if origin != .idx, has("-idx3-ubyte", "-idx3-ubyte.gz", ".idx3-ubyte") { return .of(.idx) }
        if has(".npz", ".npy") { return .notRead("NumPy arrays, which are not read") }
        if has(".parquet", ".csv") { return .notRead("tables, which are not read") }
        if has(".png", ".jpg", ".jpeg") { return .notRead("single images, which are not read") }
        return nil
    }

    /// The path of a folder in it, or in one of these, that `serves`.
    func inner(_ serves: (DataFolder) -> Bool) -> String? {
        func folders(_ folder: DataFolder) -> [DataFolder] {
            folder.names.filter { !$0.hasPrefix(".") }.map { joined(folder.path, $0) }
                .filter(isDirectory).prefix(20).map { DataFolder($0) }
        }
        let first = folders(self)
        return (first + first.flatMap(folders)).first(where: serves)?.path
    }

    /// Whether there is nothing that a download would stand beside.
    var isEmpty: Bool { names.allSatisfy { $0.hasPrefix(".") } }
}

/// What is in a folder that lacks a file of a data set.
public struct FolderContent: Equatable, Sendable, CustomStringConvertible {
    /// What files are that are not those that were asked for.
    enum Kind: Equatable, Sendable {
        /// Files of another data set.
        case of(DataOrigin)
        /// Others, in words.
        case notRead(String)
    }

    /// "a, b/ and 3 more"
    let names: String

    /// Whether there is nothing that a download would stand beside.
    package let isEmpty: Bool

    /// Nil where that is not known.
    let kind: Kind?

    /// The folder in it that has the files; nil without one.
    package let elsewhere: String?

    /// "it holds a, b/ and 3 more (IDX files)"
    public var description: String { text(\.title) }

    /// The description with `title` for files of another data set.
    package func text(_ title: (DataOrigin) -> String) -> String {
        if isEmpty { return "it is empty" }
        switch kind {
        case nil: return "it holds \(names)"
        case .of(let origin): return "it holds \(names) (\(title(origin)))"
        case .notRead(let words): return "it holds \(names) (\(words))"
        }
    }
}

/// Whether `path` is a regular file, perhaps by a link.
func isRegularFile(_ path: String) -> Bool {
    var status = stat()
    return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
}

/// Whether `path` is a folder.
func isDirectory(_ path: String) -> Bool {
    var status = stat()
    return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
}

/// `name` in `folder`.
func joined(_ folder: String, _ name: String) -> String {
    folder.hasSuffix("/") ? folder + name : "\(folder)/\(name)"
}
