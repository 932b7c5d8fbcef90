"""python -m tests.checks: run every check, and say at the end which failed."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests import cluster
from tests.chart import schemas
from tests.chart.helm import Chart, Values
from tests.checks import faults, generated, sources
from tests.cluster.paths import REPOSITORY

Check = Callable[[], list[str]]

INSTALLED: tuple[Values, ...] = ({}, {"emulator": {"enabled": True}}, {"watchNamespaces": ["team-a"]})


def program(*arguments: str) -> Check:
    """Make a check of a program of the virtual environment; what it printed is the complaint."""

    def run() -> list[str]:
        finished = subprocess.run(
            [str(Path(sys.executable).with_name(arguments[0])), *arguments[1:]],
            cwd=REPOSITORY, env={**os.environ, "PYTHONPATH": "operator:."}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        return [] if finished.returncode == 0 else [(finished.stdout + finished.stderr).strip()]

    return run


def chart() -> list[str]:
    """Lint the chart, and hold what it installs against Kubernetes' schemas."""
    with tempfile.TemporaryDirectory() as folder:
        made = Chart(cluster.ensure_tools(), schemas.custom(Path(folder)))
        complaints = []
        for values in INSTALLED:
            rendered = made.template(values)
            steps = (made.lint(values), rendered, made.conform(rendered.output))
            complaints += [f"with values {values}:\n{step.errors}" for step in steps if not step.ok]
    return complaints


CHECKS: dict[str, Check] = {
    "ruff check": program("ruff", "check"),
    "ruff format": program("ruff", "format", "--diff"),
    "gofmt": sources.go,
    "module sizes": sources.sizes,
    "mypy": program("mypy"),
    "import contracts": program("lint-imports"),
    "generated definitions": generated.definitions,
    "generated documents": generated.documents,
    "tests of the faults": faults.tests_exist,
    "chart": chart,
}


def main() -> int:
    failed = []
    for name, check in CHECKS.items():
        began = time.monotonic()
        complaints = check()
        print(f"  {name:24}{'FAILED' if complaints else 'ok':8}{time.monotonic() - began:5.1f} s", flush=True)
        if complaints:
            failed.append(name)
            print("\n".join(complaints), flush=True)
    print(f"check: {'failed: ' + ', '.join(failed) if failed else 'all passed'}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except cluster.ClusterError as error:
        sys.exit(str(error))
