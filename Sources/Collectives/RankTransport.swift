/// Point-to-point messages between ranks: what the collectives between ranks are built on.
///
/// Conformers: Open MPI (MPICollectives), and an in-memory one for tests. All calls of a rank come
/// from one thread, its worker 0. Nothing blocks but `wait`, and `wait` tests rather than sleeps
/// in the library, so that a deadline or a failed team-mate can end it.
///
/// Messages between two ranks with the same tag arrive in the order in which they were sent.
package protocol RankTransport: AnyObject {
    /// This process, 0 ..< ranks.
    var rank: Int { get }

    /// The number of processes.
    var ranks: Int { get }

    /// Starts sending `bytes`, which must stay unchanged until the next `wait` returns.
    func send(_ bytes: UnsafeRawBufferPointer, to rank: Int, tag: Int32) throws(CollectiveError)

    /// Starts receiving exactly `bytes.count` bytes, which are there when the next `wait` returns.
    func receive(
        into bytes: UnsafeMutableRawBufferPointer, from rank: Int, tag: Int32
    ) throws(CollectiveError)

    /// Returns when every started message is complete.
    ///
    /// - Throws: `.timeout` past `seconds` (naming the ranks still waited for); `.peerFailed` as
    ///   soon as `interrupted` says true; `.transport` when the library reports an error.
    func wait(seconds: Double, interrupted: () -> Bool) throws(CollectiveError)

    /// Whether every started message is complete; never waits.
    ///
    /// - Throws: `.transport` when the library reports an error.
    func isComplete() throws(CollectiveError) -> Bool

    /// Messages of the same ranks that are completed apart from this one's; their tags must differ.
    func beside() -> any RankTransport

    /// Element-wise sum over ranks, in place, in whatever order the library takes: the baseline
    /// `collectives: "mpi"`. Started and tested like messages, never blocking in the library.
    func sum(
        _ values: UnsafeMutableBufferPointer<Double>, seconds: Double, interrupted: () -> Bool
    ) throws(CollectiveError)

    /// As `sum` of Float64.
    func sum(
        _ values: UnsafeMutableBufferPointer<Float>, seconds: Double, interrupted: () -> Bool
    ) throws(CollectiveError)
}
