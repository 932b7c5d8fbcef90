"""The console script `kubectl-llmbatch`, which kubectl finds by its name."""

import io
import signal
import sys
from importlib.util import find_spec
from types import FrameType

NEEDED = ("typer", "rich")
"""What the operator itself does without."""
EXTRA = "pip install '.[cli]' in a clone of llmbatch"


def main() -> int:
    """Run a command; answers the exit code."""
    # What was made in the cluster for the time of a command is deleted at its end, also of one that is told to stop, or
    # whose terminal is closed; under nohup it goes on.
    signal.signal(signal.SIGTERM, _terminated)
    # Windows knows of no SIGHUP.
    if (hangup := getattr(signal, "SIGHUP", None)) is not None and signal.getsignal(hangup) != signal.SIG_IGN:
        signal.signal(hangup, _terminated)
    # Where output is not in UTF-8, a custom_id of others' making must not end a command.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        sys.stderr.write(f"kubectl-llmbatch needs {' and '.join(missing)}, not installed here: {EXTRA}\n")
        return 2
    from llmbatch.cli import app

    return app.run()


def _terminated(told: int, _frame: FrameType | None) -> None:
    sys.exit(128 + told)


if __name__ == "__main__":
    sys.exit(main())
