"""python -m tests.fuzz.worker guided|generated <target> …: fuzz one target in a process of its own.

It may be killed by what it tries: an endless loop, memory without end. What it was trying is then still on the disk.
"""

import faulthandler
import os
import resource
import sys
from datetime import timedelta
from pathlib import Path
from random import Random

from tests.fuzz.mutate import mutate

MEMORY_MEGABYTES = 1024
"""Far more than any input of LONGEST bytes may take; of that the interpreter and the fuzzer have some 200."""
CASE_SECONDS = int(os.environ.get("FUZZ_CASE_SECONDS", "20"))
"""A case takes about a millisecond: one that takes this long does not end."""
WATCHED = [
    "llmbatch.common",
    "llmbatch.jsonl",
    "llmbatch.provider.pure",
    "llmbatch.transfer.pure",
    "llmbatch.batch.pure",
    "llmbatch.job.pure",
    "llmbatch.transfer.edge.upload",
    "llmbatch.provider.edge.outcome",
]
"""Modules whose branches guide the search."""


def guided(target: str, arguments: list[str]) -> None:
    """Let libFuzzer look for inputs that reach what none has reached yet; `arguments` are its own. Never returns."""
    import atheris  # noqa: PLC0415 - there is none for the newest Pythons

    with atheris.instrument_imports(include=WATCHED):
        from tests.fuzz.targets import PLANTED, TARGETS  # noqa: PLC0415 - must be imported after Atheris
    _, check = (TARGETS | PLANTED)[target]

    def changed(data: bytes, most: int, seed: int) -> bytes:
        random = Random(seed)  # noqa: S311 - a repeatable sequence, no secret
        if random.random() < 0.5:
            return bytes(atheris.Mutate(data, most))
        return mutate(bytes(data), random)[:most]

    limits = [f"-rss_limit_mb={MEMORY_MEGABYTES}", f"-timeout={CASE_SECONDS}"]
    atheris.Setup([sys.argv[0], *limits, *arguments], check, custom_mutator=changed)
    atheris.Fuzz()


def generated(target: str, cases: int, kept: Path) -> int:
    """Let Hypothesis make inputs, and write the smallest that fails to `kept`; answers how many cases were tried."""
    from hypothesis import HealthCheck, given, settings  # noqa: PLC0415

    from tests.fuzz.strategies import inputs  # noqa: PLC0415
    from tests.fuzz.targets import PLANTED, TARGETS  # noqa: PLC0415

    resource.setrlimit(resource.RLIMIT_AS, (2 * MEMORY_MEGABYTES * 2**20, resource.RLIM_INFINITY))
    folder, check = (TARGETS | PLANTED)[target]
    done = 0

    def watched(data: bytes) -> None:
        nonlocal done
        done += 1
        kept.write_bytes(data)
        faulthandler.dump_traceback_later(CASE_SECONDS, exit=True)
        check(data)
        faulthandler.cancel_dump_traceback_later()

    limits = settings(
        max_examples=cases,
        deadline=timedelta(seconds=CASE_SECONDS),
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    limits(given(inputs(folder))(watched))()
    kept.unlink(missing_ok=True)
    return done


if __name__ == "__main__":
    if sys.argv[1] == "guided":
        guided(sys.argv[2], sys.argv[3:])
    else:
        print(f"cases: {generated(sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]))}")
