"""llmbatch operator | upload | collect | merge | discard | release | selftest | crds: one image, its roles, and the generator of the CRDs."""

import argparse
import faulthandler
import signal
import sys
from pathlib import Path
from types import FrameType

from llmbatch import __version__


def main(arguments: list[str] | None = None) -> int:
    """Run a command; answers the exit code."""
    # A fault in a library's C code would else end the process without a word.
    faulthandler.enable()
    # First of all: in a container this is process 1, which doesn't hear of a SIGTERM that it has no handler for. Told to
    # stop while it still imports, it would go on, take the Lease, and be killed a minute later.
    signal.signal(signal.SIGTERM, _terminated)
    parser = argparse.ArgumentParser(prog="llmbatch", description="Large LLM batches as Kubernetes objects.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("operator", help="watch BatchJobs and run them (settings: LLMBATCH_… variables)")
    commands.add_parser("upload", help="transfer Job: validate and upload the input (plan: LLMBATCH_PLAN)")
    commands.add_parser("collect", help="transfer Job: download, join and store the results (plan: LLMBATCH_PLAN)")
    commands.add_parser("merge", help="transfer Job: put the results of all parts together (plan: LLMBATCH_PLAN)")
    commands.add_parser("discard", help="transfer Job: delete stored results (plan: LLMBATCH_PLAN)")
    release = commands.add_parser("release", help="take the operator's finalizer off all BatchJobs, after an uninstall")
    release.add_argument("--after-pods", default="", metavar="SELECTOR", help="wait until none of these pods is left")
    release.add_argument("--wait-seconds", type=float, default=120.0, metavar="N", help="but no longer (default 120)")
    selftest = commands.add_parser("selftest", help="look whether a release works, as `helm test` does")
    selftest.add_argument("--operator-pods", required=True, metavar="SELECTOR", help="operators that have to be ready")
    selftest.add_argument("--gateway-url", default="", metavar="URL", help="an emulator, for a BatchJob of one line")
    selftest.add_argument("--name", default="llmbatch-test", help="name of what is made (default llmbatch-test)")
    selftest.add_argument("--wait-seconds", type=float, default=200.0, metavar="N", help="for all of it (default 200)")
    crds = commands.add_parser("crds", help="write the CustomResourceDefinitions")
    crds.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    given = parser.parse_args(arguments)
    # Each role imports what it needs and no more: a transfer pod starts without Kopf and the Kubernetes client.
    match given.command:
        case "operator":
            from llmbatch.process.service import serve

            return serve()
        case "release":
            from llmbatch.process.service import release_all

            return release_all(given.after_pods, given.wait_seconds)
        case "selftest":
            from llmbatch.process.service import check_release

            return check_release(given.operator_pods, given.gateway_url, given.name, given.wait_seconds)
        case "crds":
            from llmbatch.api import crd

            for folder in given.folders:
                for path in crd.write(folder):
                    sys.stdout.write(f"{path}\n")
            return 0
        case kind:
            from llmbatch.transfer.edge.main import run_transfer

            return run_transfer(kind)


def _terminated(_signal: int, _frame: FrameType | None) -> None:
    sys.exit(128 + signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
