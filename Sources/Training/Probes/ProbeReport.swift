/// What was measured at one step, on its training batch: lines of metrics.jsonl, one a kind.
///
///     {"probe": KIND, "step": 100, "epoch": 1, LAYER: VALUE, …}
///
/// Values of a forward pass are those of the step itself, before its update. Layers are those that
/// end in an activation, fused or not, by the name that a message would give them; a normalisation
/// stands for the activation that follows it.
///
/// | KIND | VALUE | is |
/// |---|---|---|
/// | `activations` | `{"p15", "p50", "p85"}` | percentiles of a layer's outputs, over 16 of its units spread evenly and the first 256 samples |
/// | `unit inputs` | `{"p15", "p50", "p85"}` | the same of what one unit, the layer's first, puts into its sigmoid or tanh (Ioffe and Szegedy 2015, figure 1), from its outputs; within ±17, where Float32 ends; not with ReLU |
/// | `pre-activations` | `{"mean", "variance"}` | of all values that the layer, with its normalisation, is given |
/// | `saturation` | a share, 0…1 | of outputs at the flat ends: of sigmoid below 0.01 or above 0.99, of tanh beyond ±0.98, of ReLU 0 |
/// | `gradient norms` | a number | √Σg² over the weights of a module, of normalisations, too, before any clipping |
/// | `landscape` | see below | along the step's own gradient |
///
/// `landscape` (Santurkar et al., "How does batch normalization help optimization?", 2018) has the
/// members `loss` and `gradient distance`, `{"min", "max"}` each, and `smoothness`: on the same
/// batch, at w − ηg for η of 0.5, 1, 1.5 … 4 times the learning rate, the range of the loss, the
/// range of ‖g(w − ηg) − g(w)‖, and the largest of these over the distance η‖g‖. Where the loss is
/// not finite there, the rest of the way is left out.
///
/// `path` has the members `x` and `y`, two sums of weights (`probes.path`) after the step; the first
/// is of step 0. After the last step, `contours` has the loss over the training samples, in file
/// order with each batch's own statistics, in the plane of these two through the final parameters:
/// `x` and `y`, the places of a grid; `loss`, a list for each y; `end`, the loss where the run ended;
/// `minimum`, the lowest point found, `{"x", "y", "loss"}`; and `ratio`, how much longer than wide
/// contours about it are, √(λ₁/λ₂) of the Hessian (null where there is no bowl). The grid has room
/// for the path and the lowest point; a run that was resumed knows the path since then.
///
/// A kind without layers has no line. Numbers are the same in any world, but for `collectives: "mpi"`.
public struct ProbeReport: Sendable {
    /// The step, from 1.
    public let step: Int
    /// Its epoch, from 1.
    public let epoch: Int
    /// The lines, in the order of the table.
    public let lines: [JSONObject]
}
