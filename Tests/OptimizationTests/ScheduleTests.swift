import Testing

@testable import Optimization

@Suite("Schedule")
struct ScheduleTests {
    @Test("a constant schedule keeps its base rate")
    func constant() {
        let schedule = Schedule(base: 0.1)
        #expect([1, 2, 50, 100, 200].allSatisfy { schedule.rate(step: $0, of: 100) == 0.1 })
    }

    @Test("the warm-up rises linearly and reaches the base rate in its last step")
    func warmup() {
        let schedule = Schedule(base: 0.8, warmupSteps: 4)
        let rates = (1...6).map { schedule.rate(step: $0, of: 100) }
        #expect(rates == [0.2, 0.4, 0.8 * 3 / 4, 0.8, 0.8, 0.8])
    }

    @Test("a milestone's own step still has the earlier rate")
    func milestones() {
        let schedule = Schedule(base: 1, course: .step(milestones: [3, 5], factor: 0.5))
        let rates = (1...7).map { schedule.rate(step: $0, of: 7) }
        #expect(rates == [1, 1, 1, 0.5, 0.5, 0.25, 0.25])
    }

    @Test("milestones count from the start of the run, warm-up included")
    func milestonesAndWarmup() {
        let schedule = Schedule(
            base: 1, course: .step(milestones: [3], factor: 0.5), warmupSteps: 2)
        #expect((1...4).map { schedule.rate(step: $0, of: 9) } == [0.5, 1, 1, 0.5])
    }

    @Test("a cosine falls from the base rate, through the middle, towards the minimum")
    func cosine() {
        let schedule = Schedule(base: 1, course: .cosine(minimum: 0.2))
        let rates = (1...9).map { schedule.rate(step: $0, of: 8) }
        #expect(rates[0] == 1)
        #expect(abs(rates[4] - 0.6) < 1e-15)
        // Half way down the second half: 0.6 + 0.4·cos(3π/4).
        #expect(abs(rates[6] - (0.6 - 0.4 * 0.5.squareRoot())) < 1e-15)
        #expect(rates[8] == 0.2)
        #expect(zip(rates, rates.dropFirst()).allSatisfy { $0 > $1 })
    }

    @Test("a cosine after a warm-up starts at the base rate and ends with the run")
    func cosineAndWarmup() {
        let schedule = Schedule(base: 1, course: .cosine(minimum: 0), warmupSteps: 2)
        #expect(schedule.rate(step: 2, of: 10) == 1)
        #expect(schedule.rate(step: 3, of: 10) == 1)
        #expect(abs(schedule.rate(step: 7, of: 10) - 0.5) < 1e-15)
        #expect(schedule.rate(step: 11, of: 10) == 0)
    }

    @Test("a run that ends within its warm-up never leaves it")
    func shortRun() {
        let schedule = Schedule(base: 1, course: .cosine(minimum: 0), warmupSteps: 10)
        #expect((1...4).map { schedule.rate(step: $0, of: 4) } == [0.1, 0.2, 0.3, 0.4])
    }

    @Test("a warm-up may rise from another rate than 0")
    func warmupStart() {
        let schedule = Schedule(base: 0.8, warmupSteps: 4, warmupStart: 0.4)
        let rates = (1...6).map { schedule.rate(step: $0, of: 100) }
        #expect(zip(rates, [0.5, 0.6, 0.7, 0.8, 0.8, 0.8]).allSatisfy { abs($0 - $1) < 1e-15 })
        // From the base rate itself there is nowhere to rise.
        let flat = Schedule(base: 0.8, warmupSteps: 4, warmupStart: 0.8)
        #expect((1...6).allSatisfy { flat.rate(step: $0, of: 100) == 0.8 })
    }

    @Test("one cycle rises along half a cosine, and falls along another")
    func oneCycle() {
        // 0.25·40 − 1 = 9 steps up, to step 10; 30 down, to step 40.
        let cycle = OneCycle(
            pctStart: 0.25, divFactor: 10, finalDivFactor: 100, minimumMomentum: 0.5)
        let schedule = Schedule(base: 1, course: .oneCycle(cycle))
        func rate(_ step: Int) -> Double { schedule.rate(step: step, of: 40) }
        func momentum(_ step: Int) -> Double { schedule.momentum(0.9, step: step, of: 40) }
        #expect(abs(rate(1) - 0.1) < 1e-15)
        #expect(rate(10) == 1)
        // A third up: 1 − 0.9·(1 + cos(π/3)) / 2; half and a third down.
        #expect(abs(rate(4) - (1 - 0.9 * 0.75)) < 1e-15)
        #expect(abs(rate(25) - (0.001 + 0.999 / 2)) < 1e-15)
        #expect(abs(rate(20) - (0.001 + 0.999 * 0.75)) < 1e-15)
        #expect(abs(rate(40) - 0.001) < 1e-15)
        #expect(rate(41) == 0.001 && rate(1000) == 0.001)
        #expect(momentum(1) == 0.9 && momentum(10) == 0.5)
        #expect(abs(momentum(25) - 0.7) < 1e-15 && abs(momentum(40) - 0.9) < 1e-15)
        #expect((2...10).allSatisfy { rate($0) > rate($0 - 1) && momentum($0) < momentum($0 - 1) })
        #expect((11...40).allSatisfy { rate($0) < rate($0 - 1) })
    }

    @Test(
        "one cycle of any length and share stays between its ends",
        arguments: [0.0, 0.1, 0.3, 0.5, 1])
    func shortCycles(pctStart: Double) {
        let schedule = Schedule(
            base: 1, course: .oneCycle(OneCycle(pctStart: pctStart, minimumMomentum: 0.8)))
        for total in 1...12 {
            for step in 1...total {
                let rate = schedule.rate(step: step, of: total)
                #expect(rate > 4e-6 - 1e-15 && rate < 1 + 1e-12)
                let momentum = schedule.momentum(0.95, step: step, of: total)
                #expect(momentum > 0.8 - 1e-12 && momentum < 0.95 + 1e-12)
            }
        }
    }

    @Test("the momentum stays where no cycle moves it")
    func momentum() {
        for course in [Schedule.Course.constant, .oneCycle(OneCycle())] {
            let schedule = Schedule(base: 1, course: course)
            #expect((1...9).allSatisfy { schedule.momentum(0.9, step: $0, of: 9) == 0.9 })
        }
    }
}
