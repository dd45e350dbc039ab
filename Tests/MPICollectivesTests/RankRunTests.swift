#if MPI
    import Collectives
    import Foundation
    import TestSupport
    import Testing

    @testable import MPICollectives

    private let canRun = rankTestRanks == nil && mpirunIsInstalled

    /// Starts this bundle under mpirun, so that a plain `swift test` covers the ranks too.
    @Suite(.serialized, .enabled(if: canRun, "mpirun is not installed, or this is a rank"))
    struct RankRunTests {
        @Test("the rank contract holds in worlds of one to four ranks", arguments: 1...4)
        func contract(_ ranks: Int) throws {
            let result = try runRankTests(ranks: ranks, filter: "MPICollectivesTests.RankContract")
            #expect(result.status == 0, "\(result.stdout)\n\(result.stderr)")
            let passed = passedTests(result)
            #expect(passed.count == ranks, "\(result.stdout)\n\(result.stderr)")
            #expect(Set(passed).count == 1 && passed[0] >= 12, "\(passed)")
        }

        @Test("mpirun returns the code with which a rank aborts the job")
        func abort() throws {
            let result = try runRankTests(ranks: 3, filter: "RankEndings.oneAborts")
            #expect(result.status == 73, "\(result.stderr)")
            #expect(!result.timedOut)
            #expect((result.stdout + result.stderr).contains("the line of the failing rank"))
        }

        @Test("ranks that all leave with one code after the barrier give it to mpirun")
        func commonCode() throws {
            let result = try runRankTests(ranks: 3, filter: "RankEndings.allLeave")
            #expect(result.status == 64, "\(result.stderr)")
        }

        @Test("a killed rank ends the job within ten seconds")
        func killed() throws {
            let run = try startRankTests(ranks: 3, filter: "RankEndings.oneIsMissed")
            let sees = run.waitUntil(seconds: 30) { run.stdout.contains("rank 1 is ready") }
            let victim = try #require(sees ? run.pid(ofRank: 1) : nil, "\(run.stderr)")
            let begin = ContinuousClock.now
            kill(victim, SIGKILL)
            let result = run.wait(timeout: 20)
            #expect(ContinuousClock.now - begin < .seconds(10))
            #expect(result.status != 0)
        }

        @Test("a stopped rank is named by the others at the deadline")
        func stopped() throws {
            let run = try startRankTests(ranks: 3, filter: "RankEndings.oneIsMissed")
            let sees = run.waitUntil(seconds: 30) { run.stdout.contains("rank 1 is ready") }
            let victim = try #require(sees ? run.pid(ofRank: 1) : nil, "\(run.stderr)")
            kill(victim, SIGSTOP)
            let result = run.wait(timeout: 30)
            #expect(result.status == 71, "\(result.stderr)")
            #expect(result.stdout.contains("rank 0 waits for [1]"), "\(result.stdout)")
        }

        @Test("a rank that stays away is named with the collective that misses it")
        func absent() throws {
            let result = try runRankTests(ranks: 3, filter: "RankEndings.oneIsAbsent", timeout: 30)
            #expect(result.status == 71, "\(result.stderr)")
            #expect(result.stdout.contains("missed: [2] in step 5"), "\(result.stdout)")
        }

        @Test("an Open MPI program that MPICH's mpiexec starts refuses to run N times")
        func foreignLauncher() throws {
            let result = try runProcess(
                [
                    thisProgram, "--testing-library", "swift-testing", "--filter",
                    "RankEndings.foreignLauncher",
                ],
                environment: [
                    rankTestsVariable: "4", "PMI_SIZE": "4", "PMI_RANK": "1",
                    "MPI_LOCALNRANKS": "4", "OMPI_ALLOW_RUN_AS_ROOT": "1",
                    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
                ])
            #expect(result.status == 0, "\(result.stdout)\n\(result.stderr)")
            #expect(passedTests(result) == [1])
        }
    }

    /// How jobs end. Each runs alone in ranks of its own, because it ends them.
    @Suite(.serialized, .enabled(if: rankTestRanks != nil, "only in ranks"))
    struct RankEndings {
        @Test("one rank aborts while the others wait for it")
        @RankActor func oneAborts() throws {
            let session = RankActor.session
            try session.barrier(seconds: 20)
            if session.rank == 1 {
                print("the line of the failing rank")
                session.abort(code: 73)
            }
            try session.barrier(seconds: 20)
        }

        @Test("all ranks leave with the same code")
        @RankActor func allLeave() throws {
            try RankActor.session.finish(seconds: 20)
            exit(64)
        }

        @Test("one rank is stopped or killed from outside")
        @RankActor func oneIsMissed() throws {
            let session = RankActor.session
            try session.barrier(seconds: 20)
            if session.rank == 1 {
                print("rank 1 is ready")
                fflush(nil)
                sleep(60)
            }
            // Not `catch .timeout(…)`: swiftc 6.3.1 crashes on the implied rethrow (CopyPropagation).
            let error = #expect(throws: CollectiveError.self) { try session.barrier(seconds: 3) }
            guard case .timeout(let late, _, _) = error else { return }
            print("rank \(session.rank) waits for \(late)")
            session.abort(code: 71)
        }

        @Test("one rank does not come to the barrier of a team")
        @RankActor func oneIsAbsent() throws {
            let session = RankActor.session
            if session.rank == 2 { sleep(60) }
            let world = World(ranks: session.ranks, threadsPerRank: 2, rank: session.rank)
            let failure = #expect(throws: WorkerFailure.self) {
                try Team.run(world, transport: session.transport, timeout: 0.5, spinning: false) {
                    $0.step = 5
                    try $0.barrier()
                }
            }
            let error = failure?.error as? CollectiveError
            guard case .timeout(let late, _, let place) = error else { return }
            print("missed: \(late) in step \(place?.step ?? -1)")
            session.abort(code: 71)
        }

        @Test("MPI sees one process where the launcher says four")
        @RankActor func foreignLauncher() throws {
            let error = #expect(throws: MPISessionError.self) {
                try MPISession.start(environment: ProcessInfo.processInfo.environment)
            }
            let text = error?.description ?? ""
            #expect(
                text.hasPrefix(
                    "started by MPICH's or Intel MPI's mpiexec with 4 processes, but Open MPI v"))
            #expect(text.contains(" sees 1: "))
        }
    }
#endif
