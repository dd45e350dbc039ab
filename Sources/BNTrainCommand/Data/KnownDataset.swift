/// A data set that `get-data` can fetch: its files, their checksums, and where they are.
struct KnownDataset: Sendable {
    /// A file of the data set.
    struct File: Sendable {
        let name: String
        /// Bytes, for the progress line.
        let size: Int
        /// Of its content, in hexadecimal digits.
        let sha256: String
    }

    /// Its word on the command line.
    let name: String

    /// Where it goes without a DIR; the configurations look there.
    let folder: String

    /// What `data.name` is to be.
    let configurationName: String

    let files: [File]

    /// Addresses to which a file's name is added, tried in this order.
    let mirrors: [String]

    static let all = [mnist, fashion, cifar10, cifar100]

    /// The data set of this word.
    static func named(_ name: String) throws(GetDataError) -> KnownDataset {
        guard let dataset = all.first(where: { $0.name == name }) else {
            throw .unknownDataset(name, known: all.map(\.name))
        }
        return dataset
    }

    /// Y. LeCun, C. Cortes, C. Burges. The MD5 sums that torchvision gives are those of these files.
    static let mnist = KnownDataset(
        name: "mnist", folder: "data/mnist", configurationName: "idx",
        files: [
            File(
                name: "train-images-idx3-ubyte.gz", size: 9_912_422,
                sha256: "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
            File(
                name: "train-labels-idx1-ubyte.gz", size: 28_881,
                sha256: "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
            File(
                name: "t10k-images-idx3-ubyte.gz", size: 1_648_877,
                sha256: "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
            File(
                name: "t10k-labels-idx1-ubyte.gz", size: 4_542,
                sha256: "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
        ],
        mirrors: [
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ])

    /// H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST" (2017); MD5 sums in its README.
    static let fashion = KnownDataset(
        name: "fashion", folder: "data/fashion-mnist", configurationName: "idx",
        files: [
            File(
                name: "train-images-idx3-ubyte.gz", size: 26_421_880,
                sha256: "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"),
            File(
                name: "train-labels-idx1-ubyte.gz", size: 29_515,
                sha256: "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
            File(
                name: "t10k-images-idx3-ubyte.gz", size: 4_422_102,
                sha256: "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
            File(
                name: "t10k-labels-idx1-ubyte.gz", size: 5_148,
                sha256: "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
        ],
        mirrors: [
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        ])

    /// A. Krizhevsky (2009), whose page gives the MD5 c32a1d4ab5d03f1284b67883e8d87530.
    static let cifar10 = KnownDataset(
        name: "cifar10", folder: "data/cifar10", configurationName: "cifar10",
        files: [
            File(
                name: "cifar-10-binary.tar.gz", size: 170_052_171,
                sha256: "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd")
        ], mirrors: toronto)

    /// A. Krizhevsky (2009), whose page gives the MD5 03b5dce01913d631647c71ecec9e9cb8.
    static let cifar100 = KnownDataset(
        name: "cifar100", folder: "data/cifar100", configurationName: "cifar100",
        files: [
            File(
                name: "cifar-100-binary.tar.gz", size: 168_513_733,
                sha256: "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec")
        ], mirrors: toronto)

    private static let toronto = [
        "https://www.cs.toronto.edu/~kriz/", "https://cave.cs.toronto.edu/kriz/",
    ]
}
