"""python -m tests.fuzz: fuzz every target, print what came of it, fail on any finding and keep it (CASES=, JOBS=)."""

import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import product

from tests.cluster.paths import REPOSITORY
from tests.fuzz.run import Ran, Way, fuzz, has_atheris
from tests.fuzz.targets import TARGETS

CASES = 1_000_000
GENERATED = 0.06
"""Part of the cases that Hypothesis makes: slower, but they have the shape of what is read."""
KEPT = REPOSITORY / "build" / "fuzz"


def main() -> int:
    """Fuzz all targets, some at a time."""
    cases = int(os.environ.get("CASES") or CASES)
    jobs = int(os.environ.get("JOBS") or os.cpu_count() or 1)
    if not has_atheris():
        print(
            "fuzz: Atheris is missing, it has no wheel for this Python: use Python 3.11, 3.12 or 3.13", file=sys.stderr
        )
        return 1
    generated = max(1, -int(-cases * GENERATED // len(TARGETS)))
    each: dict[Way, int] = {"guided": max(1, -(-cases // len(TARGETS)) - generated), "generated": generated}
    print(f"{'target':10}{'by':12}{'cases':>10}{'seconds':>9}  findings", flush=True)
    with ThreadPoolExecutor(jobs) as pool:
        ways: Iterator[tuple[Way, str]] = product(each, TARGETS)
        pending = [pool.submit(fuzz, target, way, each[way], KEPT) for way, target in ways]
        ran = [_told(item.result()) for item in pending]
    failed = [item for item in ran if item.failed]
    print(
        f"{'all':10}{'':12}{sum(item.cases for item in ran):>10}{sum(item.seconds for item in ran):>9.0f}  {len(failed)}"
    )
    for item in failed:
        print(f"\n--- {item.target}, {item.way}; kept: {', '.join(map(str, item.findings)) or 'nothing'}\n{item.words}")
    return 1 if failed else 0


def _told(ran: Ran) -> Ran:
    by = {"guided": "Atheris", "generated": "Hypothesis"}[ran.way]
    found = ", ".join(path.name for path in ran.findings) or ("failed" if ran.failed else "none")
    print(f"{ran.target:10}{by:12}{ran.cases:>10}{ran.seconds:>9.0f}  {found}", flush=True)
    return ran


if __name__ == "__main__":
    sys.exit(main())
