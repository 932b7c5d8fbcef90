"""Compiling programs from pinned Go modules, with progress to be seen."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from tests.cluster.shell import ClusterError, run, say


def need_go(missing: str, *, otherwise: str = "") -> None:
    """Refuse to go on without Go: say what is missing, and what else would do."""
    if not shutil.which("go"):
        raise ClusterError(f"{missing}, and no Go to build them: install Go 1.26 or newer{otherwise}.")


def module_folder(source: Path, module: str) -> Path:
    """Give the folder with a module's files, of the version that the go.mod in `source` has, or `module@version`."""
    answer = run(["go", "mod", "download", "-json", module], cwd=source)
    return Path(json.loads(answer)["Dir"])


def build(source: Path, packages: Sequence[str], output: Path, *, title: str, ldflags: str = "-s -w") -> None:
    """Compile packages of the module in a folder, into a folder."""
    command = ["go", "build", "-trimpath", "-buildvcs=false", "-ldflags", ldflags, "-o", f"{output}/", *packages]
    log = output.parent / "build.log"
    with log.open("w") as said:
        running = subprocess.Popen(
            command, cwd=source, stdout=said, stderr=said, env={**os.environ, "CGO_ENABLED": "0"}
        )
    started = told = time.monotonic()
    while running.poll() is None:
        time.sleep(0.5)
        if time.monotonic() - told > 60:
            told = time.monotonic()
            say(f"  {title}: still compiling after {(told - started) / 60:.0f} min")
    if running.returncode != 0:
        raise ClusterError(f"{title}: it does not build:\n" + "\n".join(log.read_text().splitlines()[-25:]))
