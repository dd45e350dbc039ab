import COneDNN

/// oneDNN as it is loaded: its version and its threads.
public enum OneDNN {
    /// The version of the loaded library ("2.6.3").
    public static var version: String {
        let version = bn_dnnl_version()
        return "\(version / 10000).\(version / 100 % 100).\(version % 100)"
    }

    /// Makes plans that the calling thread creates and runs use this thread alone. Every worker
    /// calls it at entry, before its first plan.
    public static func useOneThread() { bn_dnnl_use_one_thread() }

    /// Threads oneDNN would use on the calling thread: 1 after `useOneThread()`, and without OpenMP.
    public static var maximumThreads: Int { Int(bn_dnnl_max_threads()) }
}
