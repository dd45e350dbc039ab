import TensorCore

/// One rise and one long fall of the learning rate, each half a cosine, with momentum the other way
/// round if it is to move: torch.optim.lr_scheduler.OneCycleLR, stepped once a step.
///
/// Step s of T, counted from 0 here: with p = pctStart·T − 1 the rate goes from base / divFactor at
/// step 0 to the base rate at p, and from there to base / (divFactor·finalDivFactor) at T − 1, each
/// along a + (b − a)·(1 − cos(π·share)) / 2.
///
/// Smith and Topin, "Super-convergence", 2018.
public struct OneCycle: Sendable, Equatable {
    /// The share of the steps in which the rate rises, 0 … 1.
    public var pctStart: Double

    /// The base rate, which is the highest, over the rate of the first step; above 0.
    public var divFactor: Double

    /// The rate of the first step over that of the last; above 0.
    public var finalDivFactor: Double

    /// Momentum where the learning rate is highest, from the rule's own and back; nil: the rule's
    /// throughout.
    public var minimumMomentum: Double?

    /// A cycle, with PyTorch's defaults but for the momentum, which stays.
    public init(
        pctStart: Double = 0.3, divFactor: Double = 25, finalDivFactor: Double = 1e4,
        minimumMomentum: Double? = nil
    ) {
        precondition(pctStart >= 0 && pctStart <= 1, "the rise is no share of the steps")
        precondition(divFactor > 0 && finalDivFactor > 0, "a factor is not above 0")
        self.pctStart = pctStart
        self.divFactor = divFactor
        self.finalDivFactor = finalDivFactor
        self.minimumMomentum = minimumMomentum
    }

    /// The value of step `step`, from 1 on, of what starts at `first`, peaks and ends at `last`.
    ///
    /// Edge cases: beyond `totalSteps` it is `last`.
    func value(
        first: Double, peak: Double, last: Double, step: Int, of totalSteps: Int
    ) -> Double {
        let position = Double(step - 1)
        let top = pctStart * Double(totalSteps) - 1
        let end = Double(totalSteps) - 1
        if position > end { return last }
        if position <= top {
            return top == 0 ? peak : Self.between(first, peak, share: position / top)
        }
        return Self.between(peak, last, share: (position - top) / (end - top))
    }

    private static func between(_ a: Double, _ b: Double, share: Double) -> Double {
        b + (a - b) * (1 + Portable.cosPi(share)) / 2
    }
}
