extension RunConfiguration {
    /// What a run is watched for.
    public struct Watch: Sendable, Hashable {
        /// Steps between comparisons of the ranks' replicas; 0 for none.
        public var checkReplicas: Int

        /// Steps from one to the next of which another worker computes a shard again; 0 for none.
        public var auditShards: Int

        /// What to do where loss or gradients are not finite.
        public var nonFinite: NonFinite

        /// What learning rates are multiplied by at each rollback.
        public var rollbackFactor: Double

        /// Steps between digests in metrics.jsonl; nil for those of evaluations alone.
        public var digestSteps: Int?

        /// What to do where loss or gradients are not finite.
        public enum NonFinite: String, Sendable, Hashable, CaseIterable {
            /// The run ends.
            case stop
            /// The step leaves no trace.
            case skip
            /// The run goes back to the last checkpoint, with a smaller learning rate.
            case rollback
        }
    }
}
