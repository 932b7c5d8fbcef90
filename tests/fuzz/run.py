"""Starts the workers of the fuzz targets and reads what they came to."""

import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.cluster.paths import REPOSITORY
from tests.fuzz.mutate import LONGEST
from tests.fuzz.targets import CORPUS, PLANTED, TARGETS

Way = Literal["guided", "generated"]
_DONE = {"guided": re.compile(r"stat::number_of_executed_units:\s*(\d+)"), "generated": re.compile(r"cases: (\d+)")}
_WORDS = 4000
"""Characters of a failed worker's last words that are shown."""


@dataclass(frozen=True)
class Ran:
    """What fuzzing one target in one way came to."""

    target: str
    way: Way
    cases: int
    seconds: float
    findings: tuple[Path, ...]
    """Inputs that failed; they are kept."""
    words: str
    """What the worker said last, when something failed."""

    @property
    def failed(self) -> bool:
        """Something was found, or the worker ended in a way of its own."""
        return bool(self.findings or self.words)


def has_atheris() -> bool:
    """Tell whether the search can be guided: Atheris comes later than each new Python."""
    return subprocess.run([sys.executable, "-c", "import atheris"], capture_output=True, check=False).returncode == 0


def fuzz(
    target: str, way: Way, cases: int, folder: Path, *, seed: int = 0, seconds: float = 7200, **environ: str
) -> Ran:
    """Try a number of cases; what fails is kept below `folder`. A `seed` other than 0 makes the guided search repeatable."""
    home = folder / target
    found = home / way
    for path in (home / "corpus", found):
        path.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "tests.fuzz.worker", way, target]
    if way == "guided":
        seeds = CORPUS / (TARGETS | PLANTED)[target][0]
        command += [f"-runs={cases}", f"-seed={seed}", f"-max_len={LONGEST}", "-print_final_stats=1"]
        command += [f"-artifact_prefix={found}/", str(home / "corpus"), str(seeds)]
    else:
        command += [str(cases), str(found / "case")]
    before = set(found.iterdir())
    began = time.monotonic()
    environment = {**os.environ, "PYTHONPATH": "operator:.", "PYTHONHASHSEED": "0", **environ}
    try:
        ended = subprocess.run(
            command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, errors="replace",
            timeout=seconds, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return Ran(target, way, 0, seconds, tuple(found.iterdir()), f"it took more than {seconds:.0f} s")
    said = ended.stdout + ended.stderr
    told = _DONE[way].search(said)
    right = ended.returncode == 0 and told is not None
    return Ran(
        target=target,
        way=way,
        cases=int(told[1]) if told else 0,
        seconds=time.monotonic() - began,
        findings=tuple(sorted(set(found.iterdir()) - (before if right else set()))),
        words="" if right else said[-_WORDS:] or f"it ended with {ended.returncode}",
    )
