"""`make bench-parts`: what a job of many parts costs in passes and calls, and what one of a single part costs beside long ago.

python -m tests.bench.parts [parts, 100 by default] [rounds of the comparison, 3 by default]

The comparison is with the last commit before inputs could be cut: its own operator and API server in memory, taken from the
history, with the same emulator, in turn.
"""

import json
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from tests.emulator.server import ROOT, EmulatorProcess

BEFORE = "ed4a939"
FEW = 10
MOST_CALLS = 12
MOST_GROWTH = 1.10
"""What a part may cost more for being one of many."""
BOUND = 1.05
JOBS = 5
WHERE = {"configmap": "ConfigMap to Secret", "volume": "volume to volume"}

Life = dict[str, Any]


def lives(sources: Path, url: str, parts: int, jobs: int, where: str) -> list[Life]:
    """Have jobs live, in a process of its own."""
    command = [sys.executable, str(Path(__file__).with_name("life.py")), url, str(parts), str(jobs), where]
    environ = {**os.environ, "PYTHONPATH": f"{sources / 'operator'}:{sources}"}
    done = subprocess.run(command, cwd=sources, env=environ, stdout=subprocess.PIPE, check=True)
    found: list[Life] = json.loads(done.stdout)
    return found


def calls(life: Life, side: str) -> int:
    """Count calls to one side."""
    return sum(life[side].values())


def verdict(holds: bool) -> str:
    """Say whether a bound holds."""
    return "holds" if holds else "DOES NOT HOLD"


def growth(url: str, many: int) -> bool:
    """Compare a job of many parts with one of few; tell whether the bounds hold."""
    holds = True
    for where, told in WHERE.items():
        print(f"One job from start to end, {told}, for each part:")
        found = {parts: lives(ROOT, url, parts, 1, where)[0] for parts in (FEW, many)}
        for parts, life in found.items():
            each = [f"{life['seconds'] / parts:5.2f} s", f"{life['passes'] / parts:5.1f} passes"]
            each += [f"{calls(life, side) / parts:5.1f} {side} calls" for side in ("api", "gateway")]
            print(f"  {parts:4} parts   {'   '.join(each)}", flush=True)
        few, lot = found.values()
        for side, most in (("api", MOST_CALLS), ("gateway", None)):
            ratio = calls(lot, side) / many / (calls(few, side) / FEW)
            fits = ratio <= MOST_GROWTH
            bound = f"bound: {MOST_GROWTH:.2f}; {verdict(fits)}"
            if most is not None:
                enough = calls(lot, side) / many <= most
                bound += f"; at most {most} a part: {verdict(enough)}"
                fits = fits and enough
            print(f"  {side} calls a part, many beside few: ratio {ratio:.2f}   ({bound})")
            holds = holds and fits
        shown = ", ".join(f"{name} {count / many:.1f}" for name, count in lot["api"].items())
        print(f"  of {many} parts: {shown}")
    return holds


def comparison(url: str, rounds: int) -> bool:
    """Compare a job of one part with one of the release before there were parts; tell whether the bound holds."""
    with tempfile.TemporaryDirectory() as folder:
        then = sources_of(BEFORE, Path(folder))
        if then is None:
            print(
                f"NOT COMPARED: the history has no commit {BEFORE} here (a shallow clone?); try `git fetch --unshallow`"
            )
            return False
        holds = True
        for where, told in WHERE.items():
            found: dict[Path, list[Life]] = {ROOT: [], then: []}
            for turn in range(rounds):
                for sources in (ROOT, then) if turn % 2 else (then, ROOT):
                    found[sources] += lives(sources, url, 1, JOBS, where)
            print(f"One part, {told}, apply to Complete, medians of {rounds * JOBS} jobs in turns:")
            for name, key in (("seconds", "seconds"), ("seconds of CPU", "cpu"), ("API calls", "api")):
                ours, theirs = (
                    statistics.median(calls(life, key) if key == "api" else life[key] for life in found[sources])
                    for sources in (ROOT, then)
                )
                bound = "" if key == "cpu" else f"   (bound: {BOUND}; {verdict(ours / theirs <= BOUND)})"
                print(
                    f"  {name:15} {ours:7.2f}, at {BEFORE} {theirs:7.2f}: ratio {ours / theirs:.2f}{bound}", flush=True
                )
                holds = holds and (key == "cpu" or ours / theirs <= BOUND)
        return holds


def sources_of(commit: str, folder: Path) -> Path | None:
    """Take a commit's files from the history; None when it isn't there."""
    archive = folder / "sources.tar"
    command = ["git", "-C", str(ROOT), "archive", "--output", str(archive), commit, "operator", "tests"]
    if subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode:
        return None
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return folder


def main() -> int:
    """Measure, and print."""
    many = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    with tempfile.TemporaryDirectory() as folder, EmulatorProcess(Path(folder, "state")) as emulator:
        holds = [comparison(emulator.url, rounds), growth(emulator.url, many)]
    return 0 if all(holds) else 1


if __name__ == "__main__":
    sys.exit(main())
