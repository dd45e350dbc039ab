import Foundation
import Glibc
import TestSupport
import Testing
import Training

/// Lets the calls that write checkpoints fail: the FAIL_AT-th of them, with the errno FAIL_WITH.
/// Counted are those on a path with "checkpoints" in it, and on files opened there. Says at the end
/// whether one has failed.
private let failingCalls = """
    #define _GNU_SOURCE
    #include <dlfcn.h>
    #include <errno.h>
    #include <fcntl.h>
    #include <stdarg.h>
    #include <stdio.h>
    #include <stdlib.h>
    #include <string.h>
    #include <sys/stat.h>
    #include <unistd.h>

    static int calls, failed, ours[1024];

    static int fails(void) {
        const char *at = getenv("FAIL_AT");
        if (!at || ++calls != atoi(at)) return 0;
        failed = 1;
        errno = atoi(getenv("FAIL_WITH"));
        return 1;
    }
    static int here(const char *path) { return strstr(path, "checkpoints") != NULL; }
    static int mine(int file) { return file >= 0 && file < 1024 && ours[file]; }
    #define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

    static int opened(const char *path, int flags, int mode, const char *name) {
        if (here(path) && (flags & (O_CREAT | O_DIRECTORY)) && fails()) return -1;
        int (*real)(const char *, int, ...) = dlsym(RTLD_NEXT, name);
        int file = real(path, flags, mode);
        if (file >= 0 && file < 1024) ours[file] = here(path) && (flags & O_CREAT);
        return file;
    }
    int open(const char *path, int flags, ...) {
        va_list list; va_start(list, flags); int mode = va_arg(list, int); va_end(list);
        return opened(path, flags, mode, "open");
    }
    int open64(const char *path, int flags, ...) {
        va_list list; va_start(list, flags); int mode = va_arg(list, int); va_end(list);
        return opened(path, flags, mode, "open64");
    }
    ssize_t write(int file, const void *bytes, size_t count) {
        if (mine(file) && fails()) return -1;
        return REAL(write)(file, bytes, count);
    }
    int fsync(int file) { return mine(file) && fails() ? -1 : REAL(fsync)(file); }
    int close(int file) {
        int fail = mine(file) && fails(), code = errno;
        if (file >= 0 && file < 1024) ours[file] = 0;
        int result = REAL(close)(file);
        if (!fail) return result;
        errno = code;
        return -1;
    }
    int rename(const char *old, const char *new) {
        return here(new) && fails() ? -1 : REAL(rename)(old, new);
    }
    int mkdir(const char *path, mode_t mode) {
        return here(path) && fails() ? -1 : REAL(mkdir)(path, mode);
    }
    __attribute__((destructor)) static void end(void) {
        if (failed) REAL(write)(2, "one call has failed\\n", 20);
    }
    """

/// Lets fsync of folders fail with the errno FOLDER_FSYNC, as some file systems do.
private let failingFolders = """
    #define _GNU_SOURCE
    #include <dlfcn.h>
    #include <errno.h>
    #include <stdlib.h>
    #include <sys/stat.h>

    int fsync(int file) {
        struct stat status;
        if (fstat(file, &status) == 0 && S_ISDIR(status.st_mode)) {
            errno = atoi(getenv("FOLDER_FSYNC"));
            return -1;
        }
        return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(file);
    }
    """

/// A disk of DISK_BYTES for the files of the run in `run`: a write that does not fit is ENOSPC.
private let smallDisk = """
    #define _GNU_SOURCE
    #include <dirent.h>
    #include <dlfcn.h>
    #include <errno.h>
    #include <stdio.h>
    #include <stdlib.h>
    #include <string.h>
    #include <sys/stat.h>
    #include <unistd.h>

    static long used(const char *folder) {
        long sum = 0;
        DIR *listing = opendir(folder);
        struct dirent *entry;
        while (listing && (entry = readdir(listing))) {
            char path[5000];
            struct stat status;
            snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
            if (stat(path, &status) == 0 && S_ISREG(status.st_mode)) sum += status.st_size;
        }
        if (listing) closedir(listing);
        return sum;
    }
    ssize_t write(int file, const void *bytes, size_t count) {
        char name[64], path[5000] = "";
        snprintf(name, sizeof name, "/proc/self/fd/%d", file);
        ssize_t length = readlink(name, path, sizeof path - 1);
        if (length > 0 && strstr(path, "/run/")
            && used("run") + used("run/checkpoints") + (long)count > atol(getenv("DISK_BYTES"))) {
            errno = ENOSPC;
            return -1;
        }
        return ((ssize_t (*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write"))(file, bytes, count);
    }
    """

private let canFail: Bool = (try? runProcess(["cc", "--version"]).status) == 0

extension ProgramTests {
    @Suite("Checkpoints that cannot be written")
    struct CheckpointFaults {
        private let words =
            Workplace.short + [
                "--set", "optimizer.momentum=0.9", "--set", "checkpoint.everySteps=15", "--set",
                "checkpoint.keep=9", "--quiet", "--json", "--out", "run", "--threads", "1",
            ]

        /// Every checkpoint under its final name is whole; their steps.
        private func wholeSteps(_ place: Workplace) throws -> [Int] {
            let names = (try? place.names(in: "run/checkpoints")) ?? []
            return try names.filter { $0.hasSuffix(".safetensors") }.map {
                try Checkpoint(contentsOf: place.file("run/checkpoints/" + $0)).state.step
            }.sorted()
        }

        @Test(
            "a file system that cannot sync folders is one warning; one that fails to is an error",
            .enabled(if: canFail, "there is no C compiler"))
        func folders() throws {
            let place = try Workplace()
            try place.write(failingFolders, to: "folders.c")
            let built = try runProcess([
                "-C", place.path, "cc", "-O1", "-shared", "-fPIC", "-o", "folders.so", "folders.c",
            ])
            try #require(built.status == 0, "\(built.stderr)")
            for code in [EOPNOTSUPP, ENOSYS, EBADF, EIO] {
                try? FileManager.default.removeItem(atPath: place.file("run"))
                let result = try place.run(
                    words,
                    environment: [
                        "LD_PRELOAD": place.file("folders.so"), "FOLDER_FSYNC": "\(code)",
                    ])
                guard code != EIO else {
                    result.expect(
                        74, "cannot write 'run': Input/output error; check the disk, then try again"
                    )
                    continue
                }
                result.expectSuccess()
                #expect(
                    result.ourErrors
                        == "bn-train: warning: the file system of 'run' cannot confirm that a new "
                        + "name is on disk (fsync of a folder): after a power failure the newest "
                        + "checkpoint may be missing")
                #expect(try wholeSteps(place) == [15, 30])
            }
        }

        @Test(
            "each call of the checkpoint's path failing in turn: a warning and the same end, or an end",
            .enabled(if: canFail, "there is no C compiler"))
        func eachCall() throws {
            let place = try Workplace()
            try place.write(failingCalls, to: "failing.c")
            let built = try runProcess([
                "-C", place.path, "cc", "-O1", "-shared", "-fPIC", "-o", "failing.so", "failing.c",
            ])
            try #require(built.status == 0, "\(built.stderr)")
            func run(failing call: Int, with code: Int32, _ more: [String]) throws -> ProcessResult
            {
                try? FileManager.default.removeItem(atPath: place.file("run"))
                return try place.run(
                    words + more,
                    environment: [
                        "LD_PRELOAD": place.file("failing.so"), "FAIL_AT": "\(call)",
                        "FAIL_WITH": "\(code)",
                    ])
            }
            let whole = try run(failing: 0, with: 0, [])
            let expected = try whole.lastObject()["parameters_digest"]
            #expect(try wholeSteps(place) == [15, 30])
            var call = 0
            while true {
                call += 1
                // Not for want of room, which older checkpoints would make.
                let code = call % 2 == 0 ? EIO : EFBIG
                let result = try run(failing: call, with: code, [])
                guard result.stderr.contains("one call has failed") else { break }
                #expect(result.status == 0, "call \(call): \(result.stderr)")
                let lines = result.ourErrors.split(separator: "\n")
                try #require(lines.count == 2, "call \(call): \(result.stderr)")
                let step = lines[0].contains("after step 15 ") ? 15 : 30
                #expect(
                    lines[0].hasPrefix(
                        "bn-train: warning: saving after step \(step) failed, and training goes on: "
                            + "cannot "), "\(lines[0])")
                #expect(
                    lines[0].contains(
                        code == EIO ? "Input/output error" : "File too large"))
                #expect(try result.lastObject()["parameters_digest"] == expected)
                let steps = try wholeSteps(place)
                #expect(steps.contains(step == 15 ? 30 : 15), "call \(call)")
                #expect(
                    try place.names(in: "run/checkpoints").allSatisfy { !$0.hasPrefix(".") })
                guard call % 4 == 1 else { continue }
                let stopped = try run(
                    failing: call, with: code, ["--set", "checkpoint.onError=stop"])
                #expect(stopped.status == 74, "call \(call): \(stopped.stderr)")
                #expect(stopped.ourErrors.hasPrefix("bn-train: error: cannot "))
                if step == 30 { #expect(try wholeSteps(place).contains(15)) }
            }
            // Folder, two files with their folders' entries, twice.
            #expect(call > 20, "only \(call) calls are counted")
        }

        @Test(
            "a full disk: the oldest checkpoints go, one stays, and the model is whole",
            .enabled(if: canFail, "there is no C compiler"))
        func fullDisk() throws {
            let place = try Workplace()
            try place.write(smallDisk, to: "disk.c")
            let built = try runProcess([
                "-C", place.path, "cc", "-O1", "-shared", "-fPIC", "-o", "disk.so", "disk.c",
            ])
            try #require(built.status == 0, "\(built.stderr)")
            let more = ["--set", "checkpoint.everySteps=5", "--set", "tensorboard=true"]
            func run(_ bytes: Int, _ last: [String] = []) throws -> ProcessResult {
                try? FileManager.default.removeItem(atPath: place.file("run"))
                return try place.run(
                    words + more + last,
                    environment: [
                        "LD_PRELOAD": place.file("disk.so"), "DISK_BYTES": "\(bytes)",
                    ])
            }
            let whole = try run(1 << 30)
            whole.expectSuccess()
            #expect(try wholeSteps(place) == [5, 10, 15, 20, 25, 30, 35])
            #expect(whole.ourErrors == "")
            let checkpoint = try place.bytes(of: "run/checkpoints/step-5.safetensors").count
            let model = try place.bytes(of: "run/final.safetensors")
            let small = try ["config.json", "metrics.jsonl", "summary.json"].reduce(0) {
                try $0 + place.bytes(of: "run/" + $1).count
            }
            let events = try place.names(in: "run").filter { $0.hasPrefix("events") }.reduce(0) {
                try $0 + place.bytes(of: "run/" + $1).count
            }
            func removed(_ steps: [Int]) -> String {
                steps.map {
                    "bn-train: warning: the disk is full: 'run/checkpoints/step-\($0).safetensors' "
                        + "is removed to make room"
                }.joined(separator: "\n")
            }
            // Room for three checkpoints and all else but the model, which takes less than one.
            let three = try run(small + events + 100 + 3 * checkpoint)
            three.expectSuccess()
            #expect(three.ourErrors == removed([5, 10, 15, 20, 25]))
            #expect(try wholeSteps(place) == [30, 35])
            #expect(try place.bytes(of: "run/final.safetensors") == model)
            #expect(
                try three.lastObject()["parameters_digest"]
                    == whole.lastObject()["parameters_digest"])
            // Room for one: the second cannot be written beside it, and the first stays.
            let one = try run(
                small + 100 + checkpoint, ["--set", "tensorboard=false"])
            #expect(one.status == 74)
            #expect(
                one.ourErrors.hasSuffix(
                    "\nbn-train: error: cannot write 'run/final.safetensors': No space left on "
                        + "device; free space there or choose another folder"), "\(one.ourErrors)")
            #expect(!one.ourErrors.contains("removed"))
            #expect(try wholeSteps(place) == [5])
            let resumed = try place.run(["--resume", "auto", "--out", "run", "--quiet", "--json"])
            resumed.expectSuccess()
            #expect(
                try resumed.lastObject()["parameters_digest"]
                    == whole.lastObject()["parameters_digest"])
        }

        @Test("a limited file size: what fits is written, what does not is named")
        func limitedSize() throws {
            let place = try Workplace()
            // The model has 51 KB, a checkpoint twice that.
            for (limit, fits) in [(60, false), (90, false), (2000, true)] {
                try? FileManager.default.removeItem(atPath: place.file("run"))
                let result = try place.run(shell: "ulimit -f \(limit) && \"$@\"", words)
                result.expectSuccess()
                #expect(try wholeSteps(place) == (fits ? [15, 30] : []))
                let failures = result.ourErrors.split(separator: "\n")
                #expect(
                    failures
                        == (fits
                            ? []
                            : [15, 30].map {
                                "bn-train: warning: saving after step \($0) failed, and training "
                                    + "goes on: cannot write 'run/checkpoints/step-\($0).safetensors'"
                                    + ": File too large; free space there or choose another folder"
                            }))
            }
            try? FileManager.default.removeItem(atPath: place.file("run"))
            let stopped = try place.run(
                shell: "ulimit -f 60 && \"$@\"", words + ["--set", "checkpoint.onError=stop"])
            #expect(stopped.status == 74)
            #expect(
                stopped.ourErrors
                    == "bn-train: error: cannot write 'run/checkpoints/step-15.safetensors': File too "
                    + "large; free space there or choose another folder")
        }

        @Test("three kills -9, each resumed in another world: launch/test-faults in small")
        func kills() throws {
            guard mpirunIsInstalled else { try Test.cancel("it needs mpirun") }
            let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
                .deletingLastPathComponent().deletingLastPathComponent()
            let result = try runProcess(
                [
                    root.appending(path: "launch/test-faults").path, "--kills", "3", "--program",
                    Workplace.program,
                ], timeout: 300)
            #expect(result.status == 0, "\(result.stdout)\(result.stderr)")
            let last = result.stdout.split(separator: "\n").last ?? ""
            #expect(last.hasPrefix("3 kills, "), "\(result.stdout)")
        }

        @Test(
            "Python's safetensors and PyTorch read a checkpoint, and what they write is read here")
        func python() throws {
            let python = ProcessInfo.processInfo.environment["PEERS_PYTHON"] ?? "python3"
            let modules = try runProcess([python, "-c", "import safetensors.torch, torch"])
            guard modules.status == 0 else {
                try Test.cancel("PEERS_PYTHON has no safetensors or no PyTorch")
            }
            let place = try Workplace()
            try place.run(words).expectSuccess()
            let script = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
                .appending(path: "Fixtures/load_checkpoint.py").path
            let loaded = try runProcess(
                [
                    "-C", place.path, python, script, "run/checkpoints/step-30.safetensors",
                    "written.safetensors",
                ], timeout: 120)
            #expect(loaded.status == 0, "\(loaded.stderr)")
            let same = try place.run([
                "inspect", "run/checkpoints/step-30.safetensors", "written.safetensors",
            ])
            #expect(same.status == 0, "\(same.stdout)")
            try place.run(["inspect", "written.safetensors"]).expectSuccess()
            try place.run(["eval", "written.safetensors"]).expectSuccess()
        }
    }
}
