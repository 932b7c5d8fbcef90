"""Command line: `python -m tests.release --registry host/namespace`, which is `make release`."""

import argparse
import sys
from pathlib import Path

from tests.cluster import ClusterError
from tests.cluster.paths import REPOSITORY
from tests.release.release import release


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.release")
    parser.add_argument("--registry", required=True, help="where to push: host/namespace")
    parser.add_argument("--base", default="", help="Python image to build on, by digest: registry/python@sha256:…")
    parser.add_argument(
        "--snapshot", action="store_true", help="no release: any commit, changed files too, cached layers"
    )
    parser.add_argument("--output", type=Path, default=REPOSITORY / "dist", help="folder for what is not pushed")
    given = parser.parse_args()
    try:
        done = release(given.registry, snapshot=given.snapshot, base=given.base, output=given.output.resolve())
    except ClusterError as error:
        print(error, file=sys.stderr)
        return 1
    for image in done.images:
        print(f"{image.repository}:{done.version}@{image.digest}")
    print(done.chart)
    for path in sorted(done.folder.iterdir()):
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
