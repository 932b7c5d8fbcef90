"""`make bench-large`: a gigabyte in six parts, from volume to volume, beside what a person would do in a shell.

python -m tests.bench.large [lines, 500000 by default] [rounds, 3 by default]

Both work on the same files with the same emulator on the loopback, in turn, so that a busy machine is busy for both. Shown are
medians. The scripts are peer-upload.sh and peer-collect.sh; their results have to be the same as ours, byte for byte. Beside
other work the clock favours the scripts, which are several processes at once: then the CPU's time says more.
"""

import filecmp
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from tests.bench.transfers import Transfers
from tests.bench.upload import ENDPOINT, write_input
from tests.cluster import debian
from tests.emulator.client import Instance
from tests.emulator.server import EmulatorProcess

LINE_BYTES = 2002
PARTS = 6
BOUND = 5.0
MOST_MIB = 128
PROGRAMS = {"/usr/bin/jq": "jq", "/usr/bin/curl": "curl"}
HERE = Path(__file__).parent


class Seconds:
    """What each way took, in each round: by the clock, and of a processor."""

    def __init__(self) -> None:
        self._taken: dict[str, list[float]] = {}
        self._cpu: dict[str, list[float]] = {}

    def take(self, name: str, work: Callable[[], object]) -> None:
        """Do it, and note how long it takes."""
        began, busy = time.perf_counter(), cpu_seconds()
        work()
        self._taken.setdefault(name, []).append(time.perf_counter() - began)
        self._cpu.setdefault(name, []).append(cpu_seconds() - busy)

    def __getitem__(self, name: str) -> float:
        """Give the median."""
        return statistics.median(self._taken[name])

    def cpu(self, name: str) -> float:
        """Give the median of the processor's time, the emulator's apart."""
        return statistics.median(self._cpu[name])


def cpu_seconds() -> float:
    """Give the processor's time of all processes that have ended below this one."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class Bench:
    """The files of one measurement, and the two ways to go about them."""

    def __init__(self, folder: Path, kong: Instance, lines: int) -> None:
        self.folder, self.kong = folder, kong
        self.source = folder / "input.jsonl"
        write_input(self.source, lines * LINE_BYTES)
        self.size, self.lines = self.source.stat().st_size, lines
        self.seconds = Seconds()
        self.ours = Transfers(kong.url, folder, "input.jsonl", "ours/results.jsonl")

    def check_and_cut(self) -> None:
        """Read the input in the ways that there are to read it."""
        self.seconds.take("cat", lambda: shell('cat "$1" > /dev/null', self.source))
        self.seconds.take("wc -l", lambda: shell('wc -l < "$1" > /dev/null', self.source))
        self.seconds.take("jq -c .", lambda: shell('jq -c . "$1" > /dev/null', self.source))
        self.seconds.take("cut", self.ours.cut)

    def upload(self) -> None:
        """Check, cut and upload, in both ways."""
        pieces = self._empty("pieces")
        each = -(-self.lines // PARTS)
        script = HERE / "peer-upload.sh"
        self.seconds.take("their upload", lambda: run(script, self.kong.url, self.source, each, pieces))
        shutil.rmtree(pieces)
        self.kong.reset(**AT_ONCE)
        self.ours = Transfers(self.kong.url, self.folder, "input.jsonl", "ours/results.jsonl")
        self.seconds.take("our upload", self.ours.upload_all)

    def answer(self) -> None:
        """Have the emulator answer what was uploaded last."""
        with httpx.Client(base_url=self.kong.url, timeout=600) as client:
            for number, batch in enumerate(self.ours.status.batches):
                order = {"input_file_id": batch.input_file_id, "endpoint": ENDPOINT, "completion_window": "24h"}
                made: dict[str, Any] = client.post("/batches", json=order).raise_for_status().json()
                while made["status"] != "completed":
                    assert made["status"] != "failed", made
                    made = client.get(f"/batches/{made['id']}").raise_for_status().json()
                self.ours.answered(number, made)

    def collect(self) -> None:
        """Collect and put together, in both ways, and compare."""
        work = self._empty("theirs")
        results = work / "results.jsonl"
        ids = [batch.output_file_id for batch in self.ours.status.batches]
        script = HERE / "peer-collect.sh"
        self.seconds.take("their results", lambda: run(script, self.kong.url, self.source, work, results, *ids))
        mine = self._empty("ours") / "results.jsonl"
        before = self.ours.status
        self.seconds.take("our results", self.ours.collect_all)
        self.ours.status = before
        assert filecmp.cmp(mine, results, shallow=False), "the results are not the same"
        shutil.rmtree(work)

    def _empty(self, name: str) -> Path:
        folder = self.folder / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return folder


AT_ONCE = {"validating_seconds": 0, "in_progress_seconds": 0, "finalizing_seconds": 0}


def shell(command: str, *arguments: object) -> None:
    """Run a line of shell."""
    run("bash", "-euc", command, "-", *arguments)


def run(*command: object) -> None:
    """Run a program."""
    subprocess.run([str(item) for item in command], check=True, stdout=subprocess.DEVNULL)


def verdict(ratio: float) -> str:
    """Say whether a bound holds."""
    return f"ratio {ratio:.2f}   (bound: {BOUND:.0f}; {'holds' if ratio >= BOUND else 'DOES NOT HOLD'})"


def told(bench: Bench) -> bool:
    """Print what was measured; tell whether all bounds hold."""
    seconds, size = bench.seconds, bench.size / 1e6
    print(f"{size:.0f} MB, {bench.lines} lines, {len(bench.ours.status.batches)} parts, volume to volume, medians:")
    print("Check and cut alone:")
    for name in ("cat", "wc -l", "jq -c ."):
        print(f"  {name:34} {seconds[name]:7.2f} s   {size / seconds[name]:6.0f} MB/s")
    ratios = [seconds["jq -c ."] / seconds["cut"]]
    shown = f"{seconds['cut']:7.2f} s   {size / seconds['cut']:6.0f} MB/s"
    print(f"  {'check and cut':34} {shown}   {verdict(ratios[0])}")
    print(f"  {'by the CPU alone':34} ratio {seconds.cpu('jq -c .') / seconds.cpu('cut'):.2f}")
    print(
        f"  that is 1/{seconds['cut'] / seconds['cat']:.0f} of cat's speed and 1/{seconds['cut'] / seconds['wc -l']:.0f} of wc's"
    )
    for what, peer, key in (
        ("check, cut, upload", "jq, sort, split, curl", "upload"),
        ("collect, put together", "curl, jq, sort, join", "results"),
    ):
        theirs, ours = seconds[f"their {key}"], seconds[f"our {key}"]
        ratios.append(theirs / ours)
        print(f"{what[:1].upper()}{what[1:]}:")
        busy = [seconds.cpu(f"{whose} {key}") for whose in ("their", "our")]
        print(f"  {peer:34} {theirs:7.2f} s   {busy[0]:7.2f} s of CPU")
        print(f"  {what:34} {ours:7.2f} s   {busy[1]:7.2f} s of CPU   {verdict(theirs / ours)}")
        print(f"  {'by the CPU alone':34} ratio {busy[0] / busy[1]:.2f}")
    fits = True
    for name, runs in bench.ours.runs.items():
        mib = max(item.kib for item in runs) / 1024
        fits = fits and mib <= MOST_MIB
        took = statistics.median(item.seconds for item in runs)
        holds = "holds" if mib <= MOST_MIB else "DOES NOT HOLD"
        print(f"  {name:8} {took:6.2f} s each, peak RSS {mib:4.0f} MiB   (bound: {MOST_MIB}; {holds})")
    return fits and min(ratios) >= BOUND


def main() -> int:
    """Measure, and print."""
    lines = int(sys.argv[1]) if len(sys.argv) > 1 else 500_000
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    debian.install(PROGRAMS)
    with tempfile.TemporaryDirectory() as name, EmulatorProcess(Path(name, "state")) as emulator:
        folder = Path(os.path.realpath(name))
        bench = Bench(folder, emulator.instance("bench", **AT_ONCE), lines)
        for _ in range(rounds):
            bench.check_and_cut()
        for _ in range(rounds):
            bench.kong.reset(**AT_ONCE)
            bench.upload()
        bench.answer()
        for _ in range(rounds):
            bench.collect()
        return 0 if told(bench) else 1


if __name__ == "__main__":
    sys.exit(main())
