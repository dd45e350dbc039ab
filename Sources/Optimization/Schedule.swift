import TensorCore

/// How the learning rate changes over a run.
///
/// Steps are counted from 1. With base rate r, warm-up over w steps from r₀ and T steps in all,
/// step s has
///
/// | steps | schedule | rate |
/// |---|---|---|
/// | s ≤ w | any | r₀ + (r − r₀)·s / w |
/// | s > w | constant | r |
/// | s > w | step | r·factorⁿ, n = how many milestones m are < s |
/// | s > w | cosine | minimum + (r − minimum)·(1 + cos(π·(s − w − 1) / (T − w))) / 2 |
/// | any | one-cycle | see `OneCycle`, whose rise takes the place of a warm-up |
///
/// so that step w has the base rate, and so has the first step after it. Milestones count from
/// the start of the run: steps 1 … m still have the earlier rate (PyTorch's MultiStepLR, stepped
/// once a step). Cosine is PyTorch's CosineAnnealingLR with T_max = T − w: the minimum is where
/// step T + 1 would be. Loshchilov and Hutter, "SGDR", 2017, without restarts.
public struct Schedule: Sendable, Equatable {
    /// The course after the warm-up.
    public enum Course: Sendable, Equatable {
        /// The base rate throughout.
        case constant
        /// The base rate times `factor` for each milestone passed; milestones in steps.
        case step(milestones: [Int], factor: Double)
        /// Half a cosine, from the base rate to `minimum`.
        case cosine(minimum: Double)
        /// A rise to the base rate and a fall, over all steps.
        case oneCycle(OneCycle)
    }

    /// The base rate r.
    public var base: Double

    /// The course after the warm-up.
    public var course: Course

    /// The steps w over which the rate rises linearly to the base rate; 0 for no warm-up.
    public var warmupSteps: Int

    /// r₀, where the warm-up rises from.
    public var warmupStart: Double

    /// A schedule with this base rate.
    public init(
        base: Double, course: Course = .constant, warmupSteps: Int = 0, warmupStart: Double = 0
    ) {
        precondition(warmupSteps >= 0, "warm-up takes a negative number of steps")
        if case .oneCycle = course {
            precondition(warmupSteps == 0, "one cycle has a rise of its own")
        }
        self.base = base
        self.course = course
        self.warmupSteps = warmupSteps
        self.warmupStart = warmupStart
    }

    /// The rate of step `step`, from 1 on, in a run of `totalSteps`.
    ///
    /// Edge cases: a run that ends within its warm-up never reaches the base rate; cosine and
    /// one-cycle keep their last rate beyond `totalSteps`.
    public func rate(step: Int, of totalSteps: Int) -> Double {
        precondition(step >= 1, "steps are counted from 1")
        if step <= warmupSteps {
            return warmupStart
                + (base - warmupStart) * Double(step) / Double(warmupSteps)
        }
        switch course {
        case .constant: return base
        case .step(let milestones, let factor):
            return base * Portable.pown(factor, milestones.count { $0 < step })
        case .cosine(let minimum):
            if step > totalSteps { return minimum }
            let progress = Double(step - warmupSteps - 1) / Double(totalSteps - warmupSteps)
            return minimum + (base - minimum) * (1 + Portable.cosPi(progress)) / 2
        case .oneCycle(let cycle):
            let first = base / cycle.divFactor
            return cycle.value(
                first: first, peak: base, last: first / cycle.finalDivFactor, step: step,
                of: totalSteps)
        }
    }

    /// The momentum of step `step`, from 1 on, in a run of `totalSteps`, where the rule's own is
    /// `momentum`.
    public func momentum(_ momentum: Double, step: Int, of totalSteps: Int) -> Double {
        guard case .oneCycle(let cycle) = course, let lowest = cycle.minimumMomentum else {
            return momentum
        }
        return cycle.value(
            first: momentum, peak: lowest, last: momentum, step: step, of: totalSteps)
    }
}
