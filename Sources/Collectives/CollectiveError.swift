/// What can go wrong between workers. Text for people is made in one place, the command's messages.
public enum CollectiveError: Error, Equatable, Sendable {
    /// Another worker of this team failed first; its error is the one to report.
    case peerFailed

    /// Ranks that did not answer within the deadline.
    case timeout(waitingFor: [Int], seconds: Double, at: Fingerprint?)

    /// Two workers met in different collectives.
    case mismatch(here: Int, mine: Fingerprint, there: Int, theirs: Fingerprint)

    /// The message-passing library reported an error.
    case transport(String)
}
