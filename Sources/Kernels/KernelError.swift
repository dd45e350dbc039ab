/// What can go wrong in a kernel. Misuse is a precondition; these are the machine's refusals.
public enum KernelError: Error, Equatable, Sendable {
    /// oneDNN returned `status` (its own words) from `operation` on `shape`.
    case oneDNN(status: String, operation: String, shape: String)
}

extension KernelError: CustomStringConvertible {
    /// What, where, what to do; one line.
    public var description: String {
        switch self {
        case .oneDNN(let status, let operation, let shape):
            "oneDNN failed: \(status), in \(operation) of shape \(shape); "
                + "check memory and the library's version with `bn-train doctor`"
        }
    }
}
