"""Runs bn-train and its peers in turn and prints the table; launch/bench-peers calls it.

The first round tries every peer in every variant, with the system's malloc and with a tuned one;
the others repeat ours and the best peer of either kind. Figures are medians over rounds, a ratio is
the median of the rounds' ratios.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile

import workloads

FOLDER = os.path.dirname(os.path.abspath(__file__))

# (script, variant): what does not synchronise BN, because it is one process, and what does.
ALONE = [("torch", "plain"), ("torch", "contiguous"), ("torch", "compile"), ("jax", "plain"),
         ("jax", "one-core"), ("tensorflow", "plain")]
TOGETHER = [("torch", "sync"), ("jax", "sync"), ("tensorflow", "sync")]
NAMES = {"torch": "PyTorch", "jax": "JAX", "tensorflow": "TensorFlow"}


def tuned_environment(folder):
    """glibc's malloc returns large blocks to the kernel at once, and every step faults them in
    again: up to 2.4 times slower. MKL takes its fast path on AMD only where a function says so."""
    tuned = {"MALLOC_MMAP_THRESHOLD_": str(1 << 32), "MALLOC_TRIM_THRESHOLD_": str(1 << 34),
             "MALLOC_TOP_PAD_": str(1 << 28)}
    compiler = shutil.which("cc") or shutil.which("clang")
    if compiler and platform.machine() == "x86_64":
        library = os.path.join(folder, "mkl.so")
        source = "int mkl_serv_intel_cpu_true(void) { return 1; }"
        done = subprocess.run([compiler, "-shared", "-fPIC", "-x", "c", "-", "-o", library],
                              input=source, text=True, stderr=subprocess.DEVNULL)
        if done.returncode == 0:
            tuned["LD_PRELOAD"] = library
    return tuned


class Table:
    def __init__(self, args, folder):
        self.args = args
        self.environments = {"": {}, ", tuned malloc": tuned_environment(folder)}
        self.missing, self.failed = {}, {}

    def chosen(self, peers):
        """Those of `peers` that were asked for."""
        return [(name, variant) for name, variant in peers
                if not self.args.peers or f"{name}-{variant}" in self.args.peers]

    def result(self, words, environment=None):
        """The JSON object on the last line; a message (str) where there is none."""
        try:
            done = subprocess.run(
                words, capture_output=True, text=True, stdin=subprocess.DEVNULL,
                env=os.environ | (environment or {}), timeout=300 + 20 * self.args.seconds)
        except subprocess.TimeoutExpired:
            return "took too long"
        lines = done.stdout.strip().splitlines()
        if done.returncode != 0 or not lines:
            errors = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
            return errors[-1]
        if self.args.log:
            with open(self.args.log, "a") as file:
                file.write(lines[-1] + "\n")
        return json.loads(lines[-1])

    def ours(self, workload):
        words = [self.args.program, "bench", "--json", "--quiet", "--seconds",
                 str(self.args.seconds), "--threads", str(self.args.workers)]
        if workload in workloads.BN:
            known = workloads.BN[workload]
            words += ["--kernel", "batch_norm_relu" if known["relu"] else "batch_norm",
                      "--shape", "x".join(map(str, known["shape"])), "--shards", "8"]
            result = self.result(words)
            return result["microseconds"] / 1e6 if isinstance(result, dict) else result
        known = workloads.NETWORKS[workload]
        words += ["--model", known.get("model", workload), "--batch", str(known["batch"]),
                  "--shards", str(max(known["shards"], self.args.workers)), *known["words"]]
        result = self.result(words)
        return result["ms_per_step"] / 1e3 if isinstance(result, dict) else result

    def peer(self, name, variant, environment, workload):
        """Seconds of a step; None where it is missing or failed."""
        if name in self.missing or (name == "tensorflow" and workload in workloads.BN):
            return None
        result = self.result(
            [sys.executable, os.path.join(FOLDER, f"{name}_peer.py"), variant, workload,
             "--workers", str(self.args.workers), "--seconds", str(self.args.seconds)],
            self.environments[environment])
        if isinstance(result, str):
            self.failed[f"{NAMES[name]} {variant}, {workload}"] = result
            return None
        if "missing" in result:
            self.missing[name] = result["missing"]
            return None
        seconds = result["ms_per_step"] / 1e3
        print(f"{workload}: {NAMES[name]} {variant}{environment}: {shown(workload, seconds)}",
              file=sys.stderr, flush=True)
        return seconds

    def row(self, workload):
        """One line of the table; None where ours fails."""
        ours, best, rounds = [], {}, {}
        for turn in range(self.args.rounds):
            seconds = self.ours(workload)
            if isinstance(seconds, str):
                print(f"{workload}: bn-train: {seconds}", file=sys.stderr)
                return None
            print(f"{workload}: bn-train: {shown(workload, seconds)}", file=sys.stderr, flush=True)
            ours.append(seconds)
            for kind, peers in (("alone", ALONE), ("together", TOGETHER)):
                if turn == 0:
                    tried = {
                        (name, variant, environment): seconds for name, variant in self.chosen(peers)
                        for environment in self.environments
                        if (seconds := self.peer(name, variant, environment, workload))}
                    if tried:
                        best[kind] = min(tried, key=tried.get)
                        rounds[kind] = [(ours[-1], tried[best[kind]])]
                elif kind in best:
                    seconds = self.peer(*best[kind], workload)
                    if seconds:
                        rounds[kind].append((ours[-1], seconds))
        known = workloads.NETWORKS.get(workload) or workloads.BN[workload]
        name = workload
        if workload in workloads.BN:
            name = ("BN + ReLU " if known["relu"] else "BN ") + "×".join(map(str, known["shape"]))
        cells = [f"{name} ({known['batch']})" if workload in workloads.NETWORKS else name,
                 shown(workload, statistics.median(ours))]
        for kind in ("alone", "together"):
            if kind not in best:
                cells += ["–", "–"]
                continue
            peer, variant, environment = best[kind]
            seconds = statistics.median(peer for _, peer in rounds[kind])
            ratio = statistics.median(peer / mine for mine, peer in rounds[kind])
            cells += [f"{shown(workload, seconds)} {NAMES[peer]} {variant}{environment}",
                      f"{ratio:.2f}×"]
        return "| " + " | ".join(cells) + " |"


def shown(workload, seconds):
    """Images a second for networks, milliseconds for BN alone."""
    if workload in workloads.BN:
        return f"{seconds * 1e3:.2f} ms"
    rate = workloads.NETWORKS[workload]["batch"] / seconds
    return f"{rate:,.0f}".replace(",", " ") if rate >= 100 else f"{rate:.1f}"


def main():
    parser = argparse.ArgumentParser(prog="launch/bench-peers")
    parser.add_argument("workloads", nargs="*")
    parser.add_argument("--program", required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--log")
    parser.add_argument("--peers", type=lambda text: text.split(","))
    args = parser.parse_args()
    names = []
    for name in args.workloads or [*workloads.NETWORKS, "bn"]:
        names += list(workloads.BN) if name == "bn" else [name]
    for name in names:
        if name not in workloads.NETWORKS and name not in workloads.BN:
            known = ", ".join([*workloads.NETWORKS, *workloads.BN, "bn"])
            parser.error(f"there is no workload '{name}'; give some of {known}")
    known = [f"{name}-{variant}" for name, variant in ALONE + TOGETHER]
    for peer in args.peers or []:
        if peer not in known:
            parser.error(f"there is no peer '{peer}'; give some of {', '.join(known)}")
    cores = sorted(os.sched_getaffinity(0))
    if args.rounds < 1 or args.seconds <= 0 or not 1 <= args.workers <= len(cores):
        parser.error(f"--rounds from 1, --seconds above 0, --workers from 1 to {len(cores)} here")
    os.sched_setaffinity(0, cores[:args.workers])
    with tempfile.TemporaryDirectory() as folder:
        table = Table(args, folder)
        print(f"Images a second (BN alone: ms, forward and backward) with {args.workers} workers, "
              f"medians over {args.rounds} round{'s' if args.rounds > 1 else ''};\nours synchronises BN always.\n")
        print("| workload (batch) | bn-train | best peer, BN not synchronised | ours : peer "
              "| best peer, synchronised | ours : peer |\n|---|---|---|---|---|---|", flush=True)
        rows = []
        for name in names:
            rows.append(table.row(name))
            if rows[-1]:
                print(rows[-1], flush=True)
        for name, message in table.missing.items():
            print(f"\n{NAMES[name]}: {message}")
        for name, message in table.failed.items():
            print(f"\n{name}: {message}")
    sys.exit(0 if all(rows) else 1)


if __name__ == "__main__":
    main()
