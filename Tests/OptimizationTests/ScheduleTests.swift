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
}
