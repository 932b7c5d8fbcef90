"""Command line: `python -m tests.demo up`."""

import argparse
import sys

from tests import demo
from tests.cluster import ClusterError
from tests.demo.down import down
from tests.demo.up import up


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.demo", description=demo.__doc__)
    parser.add_argument("command", choices=["up", "down"])
    try:
        (up if parser.parse_args().command == "up" else down)()
    except ClusterError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
