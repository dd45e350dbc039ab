public import Configuration
import Layers

/// How statistics of the whole training set are taken.
public enum PopulationMethod: String, Hashable, Sendable, CaseIterable {
    /// Algorithm 2 of Ioffe and Szegedy 2015: one pass, in which every layer normalises by each
    /// batch's statistics; these are then averaged. With the m values a channel of a statistics
    /// group of mean μ and variance σ², over all groups of all batches:
    ///
    ///     mean = Σ m·μ / Σ m,  variance = Σ m·(m/(m − 1))·σ² / Σ m
    case paper

    /// Layer by layer, the layers before it normalising by the exact moments that they have by then:
    /// mean and variance of all values at once, divided by their number. These are the moments that
    /// the layer's input has in inference.
    case exact
}

/// Which statistics batch normalisation uses in inference.
public enum InferenceStatistics: Hashable, Sendable, CustomStringConvertible {
    /// Moving averages; the weight is the new value's.
    case moving(Double)
    /// The plain average over all batches.
    case cumulative
    /// Those of the training set, for the final weights.
    case population(PopulationMethod)
    /// Those of the batch that is evaluated.
    case batch

    /// The name in headers of files: "moving 0.1", "cumulative", "population paper".
    public var description: String {
        switch self {
        case .moving(let weight): "moving \(weight)"
        case .cumulative: "cumulative"
        case .population(let method): "population \(method.rawValue)"
        case .batch: "batch"
        }
    }

    /// The statistics of this name.
    public init?(_ name: String) {
        let words = name.split(separator: " ")
        if name == "cumulative" {
            self = .cumulative
        } else if words.count == 2, words[0] == "moving", let weight = Double(words[1]) {
            self = .moving(weight)
        } else if words.count == 2, words[0] == "population",
            let method = PopulationMethod(rawValue: String(words[1]))
        {
            self = .population(method)
        } else {
            return nil
        }
    }

    /// What training with a configuration leaves; nil without batch normalisation.
    public init?(_ configuration: RunConfiguration) {
        guard case .batch(let normalization) = configuration.model.normalization else { return nil }
        switch normalization.momentum {
        case .weight(let weight): self = .moving(weight)
        case .cumulative: self = .cumulative
        }
    }
}

extension SafetensorsFile {
    /// The statistics in a model file, by its header; files without a note hold what training with
    /// `configuration` leaves.
    public func statistics(_ configuration: RunConfiguration) -> InferenceStatistics? {
        metadata["statistics"].flatMap { InferenceStatistics($0) }
            ?? InferenceStatistics(configuration)
    }
}
