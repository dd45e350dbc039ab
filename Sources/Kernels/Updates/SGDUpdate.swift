/// One step of stochastic gradient descent over a run of parameters, with PyTorch's conventions:
///
///     g ← gradient + weightDecay·w
///     v ← momentum·v + g              (first step: v ← g)
///     w ← w − learningRate·v          (Nesterov: w ← w − learningRate·(g + momentum·v))
///
/// Without a velocity, w ← w − learningRate·g. Every element is computed alone: threads that
/// update disjoint slices make the same bits as one that updates all. What becomes subnormal becomes 0.
///
/// Sutskever et al., "On the importance of initialization and momentum in deep learning", 2013,
/// in the form of torch.optim.SGD, whose velocity does not contain the learning rate.
///
/// - Parameters:
///   - parameters: w, [count]
///   - gradient: [count]
///   - velocity: v, [count], not read in the first step; nil without momentum.
///   - isFirstStep: whether no step has written `velocity` yet.
public func sgdUpdate(
    parameters: UnsafeMutablePointer<Float>, gradient: UnsafePointer<Float>,
    velocity: UnsafeMutablePointer<Float>?, count: Int, learningRate: Float, momentum: Float,
    nesterov: Bool, weightDecay: Float, isFirstStep: Bool
) {
    // One loop for each case, so that none branches: the block is inlined with constants.
    guard let velocity else {
        var i = 0
        while i < count {
            let lanes = min(laneCount, count &- i)
            let w = loadLanes(parameters + i, lanes)
            let g = loadLanes(gradient + i, lanes).addingProduct(w, weightDecay)
            storeLanes(flushed(w.addingProduct(g, -learningRate)), parameters + i, lanes)
            i &+= laneCount
        }
        return
    }

    @inline(__always)
    func update(nesterov: Bool, isFirstStep: Bool) {
        var i = 0
        while i < count {
            let lanes = min(laneCount, count &- i)
            let w = loadLanes(parameters + i, lanes)
            let g = loadLanes(gradient + i, lanes).addingProduct(w, weightDecay)
            let v = isFirstStep ? g : g.addingProduct(loadLanes(velocity + i, lanes), momentum)
            let direction = nesterov ? g.addingProduct(v, momentum) : v
            storeLanes(flushed(v), velocity + i, lanes)
            storeLanes(flushed(w.addingProduct(direction, -learningRate)), parameters + i, lanes)
            i &+= laneCount
        }
    }
    switch (nesterov, isFirstStep) {
    case (false, false): update(nesterov: false, isFirstStep: false)
    case (false, true): update(nesterov: false, isFirstStep: true)
    case (true, false): update(nesterov: true, isFirstStep: false)
    case (true, true): update(nesterov: true, isFirstStep: true)
    }
}
