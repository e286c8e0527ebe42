#!/usr/bin/env python3
"""Times qcqa on one checkpoint beside the plain tools that move the same bytes; tests/bench/run.sh calls it.

Every figure is the best of --repeat runs; runs of what is compared alternate. `qcqa --version` does nothing but
start: no command takes less. Memory is read from /proc while a program runs: `resident` counts the mapped checkpoint,
`own` (anonymous pages) is what the program itself allocated.
`cpu` (seconds of all threads, waiting not counted) tells whether a bad `seconds` is the program's or a busy machine's.
"""

import argparse
import json
import os
import pathlib
import platform
import shutil
import struct
import subprocess
import sys
import threading
import time

MIB = 1 << 20


class Run:
    """One program run: seconds, seconds of all its threads, peak resident and peak own memory in bytes."""

    def __init__(self, command):
        self.own = 0
        begin = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
        watcher = threading.Thread(target=self.watch, args=(process.pid,))
        watcher.start()
        message = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        self.seconds = time.perf_counter() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
        watcher.join()
        self.resident = usage.ru_maxrss * 1024
        self.cpu = usage.ru_utime + usage.ru_stime
        if process.returncode != 0:
            sys.exit(f"{' '.join(map(str, command))}: exit code {process.returncode}\n{message.decode()}")

    def watch(self, pid):
        try:
            while True:
                with open(f"/proc/{pid}/status", encoding="ascii") as stream:
                    fields = dict(line.split(":", 1) for line in stream)
                if "RssAnon" not in fields:
                    return
                self.own = max(self.own, int(fields["RssAnon"].split()[0]) * 1024)
                time.sleep(0.005)
        except (OSError, ValueError):
            return


def kv_extents(model):
    """(file, first byte, length) of every key and value weight."""
    for file in sorted(model.glob("*.safetensors")):
        with open(file, "rb") as stream:
            (size,) = struct.unpack("<Q", stream.read(8))
            header = json.loads(stream.read(size))
        for name, entry in header.items():
            if name.endswith(("k_proj.weight", "v_proj.weight")):
                begin, end = entry["data_offsets"]
                yield file, 8 + size + begin, end - begin


def read_like_cat(extents):
    """What `cat` does with these bytes: reads of 128 KiB into one buffer. Returns seconds."""
    buffer = bytearray(128 * 1024)
    begin = time.perf_counter()
    for file, first, length in extents:
        descriptor = os.open(file, os.O_RDONLY)
        for at in range(first, first + length, len(buffer)):
            os.preadv(descriptor, [memoryview(buffer)[: min(len(buffer), first + length - at)]], at)
        os.close(descriptor)
    return time.perf_counter() - begin


def sync_seconds():
    begin = time.perf_counter()
    os.sync()
    return time.perf_counter() - begin


def write_once(command, out):
    """(run, seconds including sync) of a program that writes the folder `out`, starting from an idle disk."""
    shutil.rmtree(out, ignore_errors=True)
    os.sync()
    run = Run(command)
    total = run.seconds + sync_seconds()
    shutil.rmtree(out)
    return run, total


def cpu_name():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--binary", default="build/release/qcqa")
    parser.add_argument("--work", type=pathlib.Path, default=pathlib.Path("build/bench"))
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--commit", default="unknown")
    parser.add_argument("--only", choices=["search", "convert"])
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    gigabytes = sum(file.stat().st_size for file in options.model.iterdir()) / 1e9
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9

    print(f"machine   {cpu_name()}, {len(os.sched_getaffinity(0))} cores, {memory:.0f} GB")
    print(f"commit    {options.commit}")
    print(f"model     {options.model} ({gigabytes:.1f} GB)")
    print(f"best of   {options.repeat}\n")
    print(f"{'':44}{'seconds':>9}{'ratio':>8}{'cpu':>9}{'own MiB':>9}{'resident':>10}")

    def row(name, seconds, ratio=None, run=None):
        ratio = "" if ratio is None else f"{ratio:.2f}"
        cells = (f"{run.cpu:.2f}", f"{run.own / MIB:.0f}", f"{run.resident / MIB:.0f}") if run else ("", "", "")
        print(f"{name:44}{seconds:9.3f}{ratio:>8}" + "{:>9}{:>9}{:>10}".format(*cells), flush=True)

    if options.only != "convert":
        extents = list(kv_extents(options.model))
        kv = sum(length for _, _, length in extents) / 1e9
        report = options.work / "report.json"
        read_like_cat(extents)  # into the page cache
        reads, runs, timings = [], [], []
        for _ in range(options.repeat):
            reads.append(read_like_cat(extents))
            report.unlink(missing_ok=True)
            runs.append(Run([options.binary, "search", options.model, "-o", report, "--force", "-q"]))
            timings.append(json.loads(report.read_text())["timings"])
        read, search = min(reads), min(runs, key=lambda run: run.seconds)
        row(f"read the K/V bytes ({kv:.2f} GB)", read)
        for key in timings[0]:
            seconds = [timing[key] for timing in timings if isinstance(timing[key], (int, float))]
            if seconds:
                row(f"qcqa search, timings.{key}", min(seconds), min(seconds) / read)
        row("qcqa search, whole", search.seconds, run=search)

    if options.only != "search":
        heads = json.loads((options.model / "config.json").read_text())["num_key_value_heads"]
        copy, out = options.work / "copy", options.work / "converted"
        convert = [options.binary, "convert", options.model, "-o", out, "--groups", str(heads // 2),
                   "--cardinality", "contiguous", "--layout", "gqa", "-q"]
        copies, converts, starts = [], [], []
        for _ in range(options.repeat):
            starts.append(Run([options.binary, "--version"]))
            copies.append(write_once(["cp", "-r", options.model, copy], copy))
            converts.append(write_once(convert, out))
        best = [min(copies, key=lambda pair: pair[0].seconds)[0], min(converts, key=lambda pair: pair[0].seconds)[0]]
        start = min(starts, key=lambda run: run.seconds)
        row("qcqa --version", start.seconds, run=start)
        row("cp -r", best[0].seconds, run=best[0])
        row("qcqa convert", best[1].seconds, best[1].seconds / best[0].seconds, best[1])
        synced = [min(total for _, total in pairs) for pairs in (copies, converts)]
        row("cp -r, then sync", synced[0])
        row("qcqa convert, then sync", synced[1], synced[1] / synced[0])
        written = [[run for run, _ in pairs] for pairs in (copies, converts)]
        cpu = [min(run.cpu for run in runs) for runs in (starts, *written)]
        row("processor seconds of convert beside cp's", cpu[2], cpu[2] / cpu[1])
        row("the same without those of starting", cpu[2] - cpu[0], (cpu[2] - cpu[0]) / cpu[1])


if __name__ == "__main__":
    main()
