import Foundation

/// How the learning rate changes over a run.
///
/// Steps are counted from 1. With base rate r, warm-up over w steps and T steps in all, step s has
///
/// | steps | schedule | rate |
/// |---|---|---|
/// | s ≤ w | any | r·s / w |
/// | s > w | constant | r |
/// | s > w | step | r·factorⁿ, n = how many milestones m are < s |
/// | s > w | cosine | minimum + (r − minimum)·(1 + cos(π·(s − w − 1) / (T − w))) / 2 |
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
    }

    /// The base rate r.
    public var base: Double

    /// The course after the warm-up.
    public var course: Course

    /// The steps w over which the rate rises linearly to the base rate; 0 for no warm-up.
    public var warmupSteps: Int

    /// A schedule with this base rate.
    public init(base: Double, course: Course = .constant, warmupSteps: Int = 0) {
        precondition(warmupSteps >= 0, "warm-up takes a negative number of steps")
        self.base = base
        self.course = course
        self.warmupSteps = warmupSteps
    }

    /// The rate of step `step`, from 1 on, in a run of `totalSteps`.
    ///
    /// Edge cases: a run that ends within its warm-up never reaches the base rate; a cosine keeps
    /// its minimum beyond `totalSteps`.
    public func rate(step: Int, of totalSteps: Int) -> Double {
        precondition(step >= 1, "steps are counted from 1")
        if step <= warmupSteps { return base * Double(step) / Double(warmupSteps) }
        switch course {
        case .constant: return base
        case .step(let milestones, let factor):
            return base * pow(factor, Double(milestones.count { $0 < step }))
        case .cosine(let minimum):
            if step > totalSteps { return minimum }
            let progress = Double(step - warmupSteps - 1) / Double(totalSteps - warmupSteps)
            return minimum + (base - minimum) * (1 + cos(.pi * progress)) / 2
        }
    }
}
