"""The console script `kubectl-llmbatch`, which kubectl finds by its name."""

import signal
import sys
from types import FrameType

EXTRA = "pip install 'llmbatch[cli]'"


def main() -> int:
    """Run a command; answers the exit code."""
    # What was made in the cluster for the time of a command is deleted at its end, also of one that is told to stop.
    signal.signal(signal.SIGTERM, _terminated)
    try:
        from llmbatch.cli import app
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] not in ("typer", "rich"):
            raise
        sys.stderr.write(f"kubectl-llmbatch needs the package {missing.name}, which is not installed: {EXTRA}\n")
        return 2
    return app.run()


def _terminated(_signal: int, _frame: FrameType | None) -> None:
    sys.exit(128 + signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
