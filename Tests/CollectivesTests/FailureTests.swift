import Foundation
import TestSupport
import Testing

@testable import Collectives

@Suite("When a worker fails")
struct FailureTests {
    struct Broken: Error, Equatable {}

    @Test("a throwing worker ends its team; the first error is reported with its worker")
    func poison() {
        for threads in [1, 2, 3, 4, 8] {
            for culprit in 0..<threads {
                let outcomes = runWorld(ranks: 1, threads: threads) { communicator in
                    try communicator.barrier()
                    if communicator.thread == culprit { throw Broken() }
                    try communicator.barrier()
                    try communicator.barrier()
                }
                guard case .failure(let failure) = outcomes[0] else {
                    Issue.record("the team went on")
                    continue
                }
                #expect(failure.worker == culprit)
                #expect(failure.error is Broken)
            }
        }
    }

    @Test("ranks that meet in different collectives name both, and read no payload")
    func mismatch() {
        for ranks in [2, 3, 4] {
            let outcomes = runWorld(ranks: ranks, threads: 1, timeout: 2) { communicator in
                communicator.step = 7
                let odd = communicator.world.rank == ranks - 1
                let reduction = StatisticsReduction(
                    communicator, shards: ranks, group: ranks, length: odd ? 6 : 4,
                    moments: false, kind: odd ? .momentGradients : .moments, layer: odd ? 2 : 1)
                reduction.begin(ShardedBatch(samples: ranks, shards: ranks))
                reduction.push()
                try reduction.finish()
            }
            let mine = Fingerprint(step: 7, layer: 1, kind: .moments, length: 4)
            let theirs = Fingerprint(step: 7, layer: 2, kind: .momentGradients, length: 6)
            let found = outcomes.compactMap { outcome -> CollectiveError? in
                guard case .failure(let failure) = outcome else { return nil }
                return failure.error as? CollectiveError
            }
            #expect(
                found.contains {
                    if case .mismatch(_, mine, ranks - 1, theirs) = $0 { true } else { false }
                }, "\(found)")
        }
    }

    @Test("a worker that fails between the halves of a meeting leaves nobody waiting")
    func failureBetweenHalves() {
        for (ranks, threads) in [(1, 2), (1, 4), (2, 1), (3, 1), (2, 2)] {
            let outcomes = runWorld(ranks: ranks, threads: threads, timeout: 0.5) { communicator in
                let shards = ranks * threads
                let reduction = StatisticsReduction(
                    communicator, shards: shards, group: shards, length: 4, moments: false,
                    kind: .momentGradients, layer: 1)
                for round in 0..<3 {
                    reduction.begin(ShardedBatch(samples: shards, shards: shards))
                    reduction.push()
                    try reduction.start()
                    if round == 1, communicator.worker == shards - 1 { throw Broken() }
                    try reduction.finish()
                }
            }
            for (rank, outcome) in outcomes.enumerated() {
                guard case .failure(let failure) = outcome else {
                    Issue.record("rank \(rank) of \(ranks) went on")
                    continue
                }
                if rank == ranks - 1 {
                    #expect(failure.worker == ranks * threads - 1)
                    #expect(failure.error is Broken)
                } else if case .timeout(let waiting, _, let place)? = failure.error
                    as? CollectiveError
                {
                    #expect(waiting.contains(ranks - 1))
                    #expect(place?.kind == .momentGradients)
                } else {
                    Issue.record("\(failure.error)")
                }
            }
        }
    }

    @Test("workers that start different collectives find out in the second half")
    func mismatchAhead() {
        for (ranks, threads) in [(1, 2), (1, 3), (2, 1), (3, 1)] {
            let outcomes = runWorld(ranks: ranks, threads: threads, timeout: 2) { communicator in
                let shards = ranks * threads
                let isOdd = communicator.worker == shards - 1
                let reductions = [1, 2].map {
                    StatisticsReduction(
                        communicator, shards: shards, group: shards, length: 4, moments: false,
                        kind: .momentGradients, layer: $0)
                }
                for reduction in isOdd ? reductions.reversed() : reductions {
                    reduction.begin(ShardedBatch(samples: shards, shards: shards))
                    reduction.push()
                    try reduction.start()
                }
                for reduction in isOdd ? reductions.reversed() : reductions {
                    try reduction.finish()
                }
            }
            let layers: [Int32] = outcomes.flatMap { outcome -> [Int32] in
                guard case .failure(let failure) = outcome,
                    case .mismatch(_, let mine, _, let theirs)? = failure.error
                        as? CollectiveError
                else { return [] }
                return [mine.layer, theirs.layer]
            }
            #expect(Set(layers) == [1, 2], "\(ranks)×\(threads): \(outcomes)")
        }
    }

    @Test("threads of a team that meet in different collectives name both")
    func teamMismatch() {
        let outcomes = runWorld(ranks: 1, threads: 2) { communicator in
            communicator.step = communicator.thread == 0 ? 3 : 4
            try communicator.barrier()
        }
        guard case .failure(let failure) = outcomes[0],
            case .mismatch(let here, let mine, let there, let theirs)? = failure.error
                as? CollectiveError
        else {
            Issue.record("no mismatch was found")
            return
        }
        #expect((here, there) == (1, 0))
        #expect((mine.step, theirs.step) == (4, 3))
    }

    @Test("a silent rank is named after the deadline")
    func timeout() {
        let outcomes = runWorld(ranks: 3, threads: 2, timeout: 0.3) { communicator in
            if communicator.world.rank == 1 {
                Thread.sleep(forTimeInterval: 1)
                throw Broken()
            }
            try communicator.barrier()
        }
        for rank in [0, 2] {
            guard case .failure(let failure) = outcomes[rank],
                case .timeout(let waiting, let seconds, let place)? = failure.error
                    as? CollectiveError
            else {
                Issue.record("rank \(rank) waited on")
                continue
            }
            #expect(waiting.contains(1))
            #expect(seconds == 0.3)
            #expect(place?.kind == .barrier)
        }
    }
}
