extension RunConfiguration.Data {
    /// A change of all pixels: x of 0…1 becomes contrast·(x − ½) + ½ + brightness, as far as
    /// bytes can tell.
    public struct TestShift: Sendable, Hashable {
        /// −1…1; 0 changes nothing.
        public var brightness: Double
        /// Above 0; 1 changes nothing.
        public var contrast: Double
    }

    /// How features become uncorrelated.
    public enum Whitening: String, Sendable, Hashable, CaseIterable {
        /// Turned to the principal components.
        case pca
        /// Turned there and back: pixels stay pixels.
        case zca

        /// The ε where none is given.
        static let defaultEpsilon = 0.01
    }
}

extension RunConfiguration.Data.Source {
    /// Training samples, where the configuration says how many there are.
    var samples: Int? {
        switch self {
        case .syntheticDigits(let samples, _), .twoFeatures(let samples, _): samples
        case .idx, .cifar10, .cifar100: nil
        }
    }
}
