import Foundation
import TestSupport
import Testing
import Training

/// Counts calls of malloc and its kin; says the number at the end of the process.
private let counter = """
    #define _GNU_SOURCE
    #include <stdatomic.h>
    #include <stddef.h>
    #include <stdio.h>

    extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t);
    extern void *__libc_realloc(void *, size_t), *__libc_memalign(size_t, size_t);

    static atomic_long calls;
    static void count(void) { calls++; }

    __attribute__((destructor)) static void end(void) {
        fprintf(stderr, "%ld calls\\n", (long)calls);
    }

    void *malloc(size_t size) { count(); return __libc_malloc(size); }
    void *calloc(size_t n, size_t size) { count(); return __libc_calloc(n, size); }
    void *realloc(void *p, size_t size) { count(); return __libc_realloc(p, size); }
    void *memalign(size_t a, size_t size) { count(); return __libc_memalign(a, size); }
    void *aligned_alloc(size_t a, size_t size) { count(); return __libc_memalign(a, size); }
    int posix_memalign(void **p, size_t a, size_t size) {
        count();
        *p = __libc_memalign(a, size);
        return *p ? 0 : 12;
    }
    """

/// True where a C compiler and glibc, whose inner names the counter uses, are at hand.
private let canCount: Bool = {
    #if canImport(Glibc)
        return (try? runProcess(["cc", "--version"]).status) == 0
    #else
        return false
    #endif
}()

extension ProgramTests {
    @Suite("Memory")
    struct Memory {
        @Test(
            "a thousand steps more, over many epochs, allocate nothing more",
            .enabled(if: canCount, "there is no C compiler, or no glibc"),
            arguments: [
                (1, "optimizer={momentum: 0.9}"), (2, "optimizer={momentum: 0.9}"),
                (2, "optimizer={name: 'lars', momentum: 0.9, clipNorm: 0.1}"),
                (2, "optimizer={name: 'adam'}"), (2, "model.normalization.kind=layer"),
            ], ["[]", "[{kind: 'padCrop', padding: 3}, 'flip', {kind: 'cutout', size: 7}]"])
        func steadyState(run: (threads: Int, setting: String), augment: String) throws {
            let place = try Workplace()
            try place.write(counter, to: "counter.c")
            let built = try runProcess([
                "-C", place.path, "cc", "-O1", "-shared", "-fPIC", "-o", "counter.so", "counter.c",
            ])
            try #require(built.status == 0, "\(built.stderr)")
            func calls(steps: Int) throws -> Int {
                let result = try place.run(
                    Workplace.short + [
                        "--set", "steps=\(steps)", "--set", "evaluate.everySteps=100000",
                        "--set", run.setting, "--set", "data.augment=\(augment)",
                        "--threads", "\(run.threads)", "--quiet",
                    ], environment: ["LD_PRELOAD": place.file("counter.so")])
                result.expectSuccess()
                // The `env` that starts the program counts nothing of ours: it becomes it.
                let line = try #require(result.stderr.split(separator: "\n").last)
                return try #require(Int(line.prefix { $0.isNumber }), "\(result.stderr)")
            }
            let (few, many) = (try calls(steps: 200), try calls(steps: 1200))
            #expect(few > 1000, "the counter does not count")
            // Threads that wake for the first time, and numbers that print longer, make a handful.
            #expect(abs(many - few) < 50, "\(few) calls in 200 steps, \(many) in 1200")
        }
    }
}
