extension DatasetPair {
    /// Reads CIFAR-10 or CIFAR-100 in the binary version.
    ///
    /// `directory` or the sub-folder of the official archive holds `data_batch_1.bin` …
    /// `data_batch_5.bin` and `test_batch.bin` (`train.bin` and `test.bin` of CIFAR-100, whose fine
    /// labels are used), each plain or packed (`….gz`); or `directory` holds the archive itself,
    /// `cifar-10-binary.tar.gz`, which is unpacked in memory. The order of the samples is the same
    /// from either.
    ///
    /// - Throws: `directoryMissing`, `fileMissing`, `memberMissing`, `wrongRecordSize`,
    ///   `labelOutOfRange`, `corruptGzip`, `corruptTar`, `tooMuchData`, `unreadable`.
    public static func cifar(
        _ variant: CIFAR, directory: String
    ) throws(DatasetError) -> DatasetPair {
        let origin: DataOrigin = variant == .ten ? .cifar10 : .cifar100
        guard isDirectory(directory) else { throw .directoryMissing(path: directory, origin) }
        let names = variant.trainingFiles + [variant.testFile]
        let folders = [directory, joined(directory, variant.folder)].map { DataFolder($0) }
        let found = folders.map { folder in names.map { folder.file([$0]) } }
        if let whole = found.first(where: { !$0.contains(nil) }) {
            return try cifar(variant, paths: whole.compactMap(\.self))
        }
        if let archive = folders[0].file([variant.archive]) {
            return try cifar(variant, archive: archive)
        }
        // A folder with some of the files is the one that was meant.
        for (folder, paths) in zip(folders, found) where paths.contains(where: { $0 != nil }) {
            for (name, path) in zip(names, paths) where path == nil {
                throw .fileMissing(
                    directory: folder.path, tried: [name, name + ".gz"], origin,
                    folder.content(for: origin))
            }
        }
        throw .fileMissing(
            directory: directory,
            tried: [names[0], names[0] + ".gz", joined(variant.folder, names[0]), variant.archive],
            origin,
            folders[0].content(
                for: origin,
                elsewhere: folders[0].inner { inner in inner.file([names[0]]) != nil }))
    }

    /// From the files of the names, in their order; the last holds the test samples.
    private static func cifar(
        _ variant: CIFAR, paths: [String]
    ) throws(DatasetError) -> DatasetPair {
        var parts: [CIFARRecords?] = []
        var files: [File] = []
        for path in paths {
            let stream = try FileStream(path: path)
            parts.append(try CIFARRecords(variant, from: stream, file: path))
            let holdsTest = files.count == paths.count - 1
            files.append(
                File(
                    path: path,
                    parts: holdsTest
                        ? [.testImages, .testLabels] : [.trainingImages, .trainingLabels]))
        }
        return try cifar(variant, &parts, files: files)
    }

    private static func cifar(
        _ variant: CIFAR, archive path: String
    ) throws(DatasetError) -> DatasetPair {
        let stream = try FileStream(path: path)
        var parts = try cifarParts(variant, archive: stream, file: path)
        return try cifar(variant, &parts, files: [File(path: path, parts: Part.allCases)])
    }

    /// The files of an archive, in the order of the names, not of the archive. None is nil.
    static func cifarParts(
        _ variant: CIFAR, archive source: some RewindableStream, file path: String
    ) throws(DatasetError) -> [CIFARRecords?] {
        let names = variant.trainingFiles + [variant.testFile]
        let isPacked = try source.beginsAsGzip()
        let tar = TarStream(isPacked ? GzipStream(source, file: path) : source, file: path)
        var parts = [CIFARRecords?](repeating: nil, count: names.count)
        while let member = try tar.next() {
            guard let index = names.firstIndex(of: member.name) else { continue }
            parts[index] = try CIFARRecords(
                variant, from: tar, member: member, file: "\(path) (\(member.name))")
        }
        if let index = parts.firstIndex(where: { $0 == nil }) {
            throw .memberMissing(file: path, member: names[index])
        }
        return parts
    }

    /// Joins the parts, letting go of each: there are never two copies of all samples.
    private static func cifar(
        _ variant: CIFAR, _ parts: inout [CIFARRecords?], files: [File]
    ) throws(DatasetError) -> DatasetPair {
        func dataset(_ range: Range<Int>) throws(DatasetError) -> Dataset {
            var images: [UInt8] = []
            var labels: [UInt8] = []
            images.reserveCapacity(parts[range].reduce(0) { $0 + ($1?.images.count ?? 0) })
            for index in range {
                guard let part = parts[index] else { continue }
                parts[index] = nil
                images += part.images
                labels += part.labels
            }
            return try Dataset(
                name: variant.name, height: CIFAR.side, width: CIFAR.side, channels: 3,
                classes: variant.classes, images: images, labels: labels, source: variant.title)
        }
        let last = parts.count - 1
        return DatasetPair(
            training: try dataset(0..<last), test: try dataset(last..<last + 1), files: files)
    }
}
