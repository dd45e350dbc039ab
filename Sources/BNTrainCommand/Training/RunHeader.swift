import Collectives
import Configuration
import Datasets
import Layers
import Models
import Normalization
import Training

/// What a run says of itself before its first step.
struct RunHeader {
    let lines: [String]

    /// The line on BN, or what stands in its place.
    let normalization: String

    /// - Parameter statistics: BN's in inference; nil for those that this run's training leaves.
    init(
        _ run: Launch.Run, machine: Machine, folder: String?,
        statistics: InferenceStatistics? = nil
    ) {
        let plan = run.plan
        let configuration = plan.configuration
        var lines = ["bn-train \(programVersion) · \(Self.network(plan))"]
        func add(_ label: String, _ text: String) {
            lines.append(label.padding(to: 9) + text)
        }
        add("world", Self.world(run, machine: machine))
        add("data", Self.data(plan))
        add(
            "batch",
            "\(configuration.batch.size) samples in \(counted(plan.shards, "shard")); "
                + "\(grouped(plan.stepsPerEpoch)) steps an epoch, \(grouped(plan.totalSteps)) in all"
        )
        add(
            Self.normalizationName(plan),
            Self.normalization(
                plan, statistics ?? InferenceStatistics(plan.configuration)))
        normalization = lines[lines.count - 1]
        add(Self.optimizerName(plan), Self.optimizer(plan))
        if let folder { add("output", folder) }
        self.lines = lines
    }

    private static func network(_ plan: RunPlan) -> String {
        let model = plan.configuration.model
        let count = "\(grouped(plan.layout.parameterCount)) parameters"
        guard model.name == .mlp else {
            return "\(plan.network.name) on \(plan.network.input), \(count)"
        }
        let widths = [plan.network.inputs] + model.hidden + [plan.network.classes]
        return "\(plan.network.name) \(widths.map(String.init).joined(separator: "-")), "
            + "\(model.activation.rawValue), \(count)"
    }

    private static func world(_ run: Launch.Run, machine: Machine) -> String {
        let (world, plan) = (run.world, run.plan)
        let balance = plan.balance(of: world)
        let threads = world.computingThreadsPerRank
        var size =
            world.ranks * threads == 1
            ? "1 worker"
            : "\(counted(world.ranks, "rank")) × \(counted(threads, "thread")) = "
                + counted(world.workers, "worker")
        if threads > world.threadsPerRank {
            let (least, rest) = threads.quotientAndRemainder(dividingBy: world.threadsPerRank)
            size +=
                " of "
                + (rest == 0 ? counted(least, "thread") : "\(least) or \(least + 1) threads")
        }
        let reason = run.threadsReason.map { " (\($0); --threads N changes it)" } ?? ""
        let shards =
            "\(counted(plan.shards, "shard")) on \(counted(world.workers, "worker")): "
            + balance
        let promise =
            world.arithmetic == .mpi
            ? "collectives \"mpi\": bits depend on this world"
            : "the same bits with 1 to \(plan.shards) workers"
        let cores =
            threads > machine.cores
            ? "; more threads than the \(counted(machine.cores, "core")) of this rank" : ""
        return "\(size)\(reason); \(shards); \(promise)\(cores)"
    }

    private static func data(_ plan: RunPlan) -> String {
        let split = plan.split
        var text =
            "\(plan.configuration.data.source.name): \(grouped(split.training.count)) training, "
        if split.validation.count > 0 {
            text += "\(grouped(split.validation.count)) validation, "
        }
        let scaling =
            switch plan.configuration.data.scaling {
            case .none: split.training.dataset.units == nil ? "0…255" : "their own units"
            case .unit: "0…1"
            case .standardize: "mean 0, deviation 1 of the training samples"
            case .standardizeFeatures: "mean 0, deviation 1 of the training samples, each feature"
            case .whitened(let kind, let epsilon):
                "uncorrelated features of the training samples (\(kind.rawValue.uppercased()), "
                    + "variances λ / (λ + \(epsilon)))"
            case .fixed: "given mean and deviation"
            }
        let augmentation = plan.configuration.data.augment.map { step in
            switch step {
            case .padCrop(let padding): "crop after \(padding) pixels of padding"
            case .flip: "flip"
            case .cutout(let size): "cutout of \(size) × \(size)"
            }
        }.joined(separator: ", ")
        let shift = plan.configuration.data.testShift.map {
            " (brightness \($0.brightness), contrast × \($0.contrast))"
        }
        return text + "\(grouped(split.test.count)) test\(shift ?? ""); scaled to \(scaling)"
            + (augmentation.isEmpty ? "" : "; augmented: \(augmentation)")
            + (plan.configuration.data.shuffle ? "" : "; file order")
            + (plan.dataRemark.map { "; \($0)" } ?? "")
    }

    private static func normalizationName(_ plan: RunPlan) -> String {
        switch plan.network.groupNormalization?.grouping {
        case .layer: "LN"
        case .instance: "IN"
        case .groups: "GN"
        case nil: "BN"
        }
    }

    private static func normalization(
        _ plan: RunPlan, _ statistics: InferenceStatistics?
    ) -> String {
        let placement =
            switch plan.configuration.model.name {
            case .mlp: Self.placement(plan.configuration.model.placement) + "; "
            case .mnistCNN: "\(plan.configuration.model.placement.rawValue) the softmax; "
            default: ""
            }
        if let grouping = plan.network.groupNormalization?.grouping {
            let statistics =
                switch grouping {
                case .layer: "all of its values"
                case .instance: "each of its channels"
                case .groups(let count): "each of \(count) groups of its channels"
                }
            return "\(placement)every sample by itself: statistics of \(statistics); "
                + "inference as training"
        }
        guard plan.network.isNormalized else { return "none" }
        let settings = plan.network.normalization
        let size = plan.configuration.batch.size
        let scope =
            switch settings.scope {
            case .global: "scope global: statistics of all \(size) samples of a batch"
            case .group(let group):
                "scope group: statistics of \(group) shards, about \(size * group / plan.shards) samples"
            case .shard:
                "scope shard: statistics of each shard's \(size / plan.shards) or so samples alone"
            }
        let inference =
            switch statistics {
            case .moving(let weight): "moving averages (weight \(weight) for the new value)"
            case .population(let method): "population statistics (\(method.rawValue))"
            case .batch: "each test batch's own statistics"
            case .cumulative, nil: "plain averages over all batches"
            }
        var noise = ""
        if case .batch(let batch) = plan.configuration.model.normalization, batch.noise != nil {
            noise = "noise behind it; "
        }
        return "\(placement)\(scope); \(noise)"
            + "inference uses \(inference)"
    }

    private static func placement(_ placement: RunConfiguration.Model.Placement) -> String {
        switch placement {
        case .before, .after: "\(placement.rawValue) the activation"
        case .inputs: "on all layers' inputs"
        }
    }

    private static func optimizerName(_ plan: RunPlan) -> String {
        switch plan.configuration.optimizer.name {
        case .sgd: "SGD"
        case .adam: "Adam"
        case .adamW: "AdamW"
        case .lars: "LARS"
        }
    }

    private static func optimizer(_ plan: RunPlan) -> String {
        let configuration = plan.configuration
        let (optimizer, schedule) = (configuration.optimizer, configuration.schedule)
        var parts = ["learning rate \(configuration.scaledLearningRate)"]
        switch schedule.kind {
        case .constant: parts[0] += " throughout"
        case .step(let milestones, let factor): parts[0] += " × \(factor) after \(milestones)"
        case .cosine(let minimum): parts[0] += ", cosine to \(minimum)"
        case .oneCycle(let cycle): parts[0] += " at \(cycle.pctStart) of one cycle"
        }
        if let reference = schedule.scaleWithBatch {
            parts[0] +=
                " (\(optimizer.learningRate) × \(configuration.batch.size)/\(reference))"
        }
        if schedule.warmupSteps > 0 { parts.append("\(schedule.warmupSteps) steps of warm-up") }
        switch optimizer.rule {
        case .sgd(let momentum, let nesterov):
            if momentum > 0 {
                parts.append((nesterov ? "Nesterov " : "") + "momentum \(momentum)")
            }
        case .lars(let momentum, let trustCoefficient, _):
            if momentum > 0 { parts.append("momentum \(momentum)") }
            parts.append("trust coefficient \(trustCoefficient)")
        case .adam(let beta1, let beta2, _), .adamW(let beta1, let beta2, _):
            parts.append("betas \(beta1) and \(beta2)")
        }
        if optimizer.weightDecay > 0 { parts.append("weight decay \(optimizer.weightDecay)") }
        if let norm = optimizer.clipNorm { parts.append("gradient clipped to norm \(norm)") }
        let smoothing = configuration.loss.labelSmoothing
        if smoothing > 0 { parts.append("label smoothing \(smoothing)") }
        return parts.joined(separator: ", ")
    }
}

/// "1 shard", "2 shards".
func counted(_ number: Int, _ noun: String, _ plural: String? = nil) -> String {
    "\(grouped(number)) \(number == 1 ? noun : plural ?? noun + "s")"
}

/// 1234567 as "1 234 567".
func grouped(_ number: Int) -> String {
    var digits = Array(String(number.magnitude))
    var index = digits.count - 3
    while index > 0 {
        digits.insert(" ", at: index)
        index -= 3
    }
    return (number < 0 ? "-" : "") + String(digits)
}

extension String {
    /// At least `width` characters, filled with spaces.
    func padding(to width: Int) -> String {
        self + String(repeating: " ", count: max(0, width - count))
    }
}

extension RunPlan {
    /// That nothing trains for some classes, and why; one line each.
    var classWarnings: [String] {
        let missing = split.classesWithoutTraining
        func listed(_ classes: [Int]) -> String {
            let shown = classes.prefix(10).map { "\($0)" }
            if classes.count > 10 {
                return "classes \(shown.joined(separator: ", ")) and \(classes.count - 10) more"
            }
            return shown.count == 1
                ? "class \(shown[0])"
                : "classes \(shown.dropLast().joined(separator: ", ")) and \(shown[shown.count - 1])"
        }
        let leftOut = missing.filter(\.isLeftOut).map(\.class)
        let onlyTested = missing.filter { !$0.isLeftOut }.map(\.class)
        var warnings: [String] = []
        if !leftOut.isEmpty {
            let validation = "data.validation \(split.validation.count)"
            let isCut = split.validation.count > 0 && configuration.data.validationFrom == .end
            let cuts = [
                configuration.data.limit.map { "data.limit \($0)" }, isCut ? validation : nil,
            ].compactMap(\.self)
            warnings.append(
                "nothing is trained for \(listed(leftOut)): "
                    + (cuts.isEmpty
                        ? "\(validation) leaves too few samples; hold out fewer"
                        : "\(cuts.joined(separator: " and ")) "
                            + "\(cuts.count == 1 ? "cuts" : "cut") the file where it has all samples "
                            + "of a class behind those of another; shuffle the file, or "
                            + (isCut
                                ? "set data.validationFrom to \"spread\"" : "use more of it"))
            )
        }
        if !onlyTested.isEmpty {
            warnings.append(
                "nothing is trained for \(listed(onlyTested)): only test samples have it; check that "
                    + "both files are of one data set")
        }
        return warnings
    }
}
