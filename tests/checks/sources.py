"""What no linter asks of the sources."""

import shutil
import subprocess

from tests.cluster.paths import REPOSITORY

LONGEST = 300
"""Lines of a module: beyond that, it does more than one thing."""


def sizes() -> list[str]:
    """Name modules that are too long."""
    modules = [path for top in ("operator", "tests") for path in sorted((REPOSITORY / top).rglob("*.py"))]
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in modules}
    return [
        f"{path.relative_to(REPOSITORY)} has {length} lines, more than {LONGEST}: split it"
        for path, length in lengths.items()
        if length > LONGEST
    ]


def go() -> list[str]:
    """Name Go files that gofmt would change."""
    if not shutil.which("gofmt"):
        return ["gofmt is missing: install Go 1.26 or newer"]
    listed = subprocess.run(
        ["gofmt", "-l", "tests/cluster/toolchain"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    return [*listed.stderr.splitlines(), *(f"gofmt -w {name}" for name in listed.stdout.splitlines())]
