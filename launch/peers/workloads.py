"""What is measured, and how a peer measures it: the same for every framework. Imports none."""

import argparse
import json
import os
import statistics
import sys
import time

# Networks: extents of a sample (H, W, C or features), classes, global batch, and bn-train's words.
# Float32, random data in memory, a step is forward + backward + update.
SGD = ["--set", "optimizer.momentum=0.9"]
NETWORKS = {
    "resnet20": dict(shape=(32, 32, 3), classes=10, batch=128, shards=8, words=SGD),
    "resnet18": dict(shape=(32, 32, 3), classes=10, batch=64, shards=8, words=SGD),
    "resnet50": dict(shape=(224, 224, 3), classes=1000, batch=16, shards=8,
                     words=["--set", "model.stem=imagenet", *SGD]),
    "lenet": dict(shape=(32, 32, 3), classes=10, batch=128, shards=8, words=SGD),
    "lenet4": dict(shape=(32, 32, 3), classes=10, batch=4, shards=2, model="lenet", words=SGD),
    "mnist-cnn": dict(shape=(28, 28, 1), classes=10, batch=32, shards=4, optimizer="adam",
                      words=["--set", "optimizer.name=adam"]),
    "mlp": dict(shape=(784,), classes=10, batch=60, shards=2, words=SGD),
}
LEARNING_RATE = 1e-3
MOMENTUM = 0.9

# BN alone, forward and backward in training, with and without a ReLU behind it: N, H, W, C.
BN_SHAPES = {"a": (64, 56, 56, 64), "b": (64, 14, 14, 256), "c": (128, 32, 32, 16)}
BN = {f"{kind}-{key}": dict(shape=shape, relu=kind == "bn_relu", batch=shape[0])
      for kind in ("bn", "bn_relu") for key, shape in BN_SHAPES.items()}

# A window in which other programs took more cores than this does not count where others are left.
QUIET = 0.12


def arguments(variants):
    """The command line of a peer; `variants` are the ways in which it can train."""
    parser = argparse.ArgumentParser()
    parser.add_argument("variant", choices=variants)
    parser.add_argument("workload", choices=[*NETWORKS, *BN])
    parser.add_argument("--workers", type=int, default=2, help="threads, processes or devices")
    parser.add_argument("--seconds", type=float, default=10)
    return parser.parse_args()


def framework(name, package):
    """Imports a framework, or says on the JSON line how to install it."""
    try:
        return __import__(name)
    except ImportError as error:
        if error.name != name:
            raise
        print(json.dumps({"missing": f"not installed: pip install {package}"}))
        sys.exit(0)


def seconds_of_cpu(processes):
    """CPU seconds that these processes have used: user and system time of /proc/PID/stat."""
    ticks = 0
    for process in processes:
        with open(f"/proc/{process}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def seconds_of_machine():
    """CPU seconds that all processes have used, with what the hypervisor took away."""
    with open("/proc/stat") as file:
        user, nice, system, _, _, irq, softirq, steal = map(int, file.readline().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def measure(step, seconds, finish=lambda: None, agree=lambda value: value, processes=None):
    """Median seconds of `step` over windows of 0.3 s, after a warm-up.

    finish: waits until all steps so far are done, on all processes.
    agree: gives all processes rank 0's value, so that they take the same number of steps.
    processes: their ids, where it is not this one alone.
    """
    processes = processes or [os.getpid()]
    step()
    finish()
    count, start = 0, time.perf_counter()
    while agree(float(count < 3 or time.perf_counter() - start < max(1, seconds / 10))):
        step()
        count += 1
    finish()
    per_step = (time.perf_counter() - start) / count
    per_window = int(agree(float(max(1, round(min(0.3, seconds / 5) / per_step)))))
    windows = []
    start = time.perf_counter()
    while agree(float(len(windows) < 5 or time.perf_counter() - start < seconds)):
        finish()
        machine, mine, begin = seconds_of_machine(), seconds_of_cpu(processes), time.perf_counter()
        for _ in range(per_window):
            step()
        finish()
        elapsed = time.perf_counter() - begin
        others = seconds_of_machine() - machine - seconds_of_cpu(processes) + mine
        windows.append((elapsed / per_window, others / elapsed))
    quiet = [time for time, others in windows if others < QUIET]
    chosen = quiet if len(quiet) >= 3 else [time for time, _ in windows]
    return statistics.median(chosen), {"windows": len(windows), "quiet_windows": len(quiet)}


def report(peer, args, seconds, facts):
    """The one line on stdout."""
    known = NETWORKS.get(args.workload) or BN[args.workload]
    line = {"peer": peer, "variant": args.variant, "workload": args.workload,
            "batch": known["batch"], "ms_per_step": round(seconds * 1e3, 4)}
    if args.workload in NETWORKS:
        line["images_per_second"] = round(known["batch"] / seconds, 2)
    print(json.dumps(line | facts), flush=True)
