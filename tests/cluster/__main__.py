"""Command line: `python -m tests.cluster up`."""

import argparse
import os
import sys

from tests import cluster


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.cluster", description=cluster.__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="bring a cluster up, or find the one that is")
    up.add_argument("--fresh", action="store_true", help="take the old one down first")
    commands.add_parser("down", help="take it down again, without a trace")
    commands.add_parser("status", help="exit with 0 if it is up")
    commands.add_parser("image", help="build both images and load them into the cluster")
    commands.add_parser("tools", help="build or find kubectl, helm, kubeconform and promtool, and say where they are")
    commands.add_parser("traces", help="list what `down` left behind; exit with 1 if anything")
    commands.add_parser("kubectl", help="run kubectl on the cluster, with all that follows as its arguments")
    try:
        # Not parsed: argparse would take kubectl's options for its own.
        if sys.argv[1:2] == ["kubectl"]:
            return _kubectl(sys.argv[2:])
        return _run(parser.parse_args())
    except cluster.ClusterError as error:
        print(error, file=sys.stderr)
        return 1


def _run(arguments: argparse.Namespace) -> int:
    match arguments.command:
        case "up":
            print(f"export KUBECONFIG={cluster.up(fresh=arguments.fresh).kubeconfig}")
        case "down":
            cluster.down()
        case "status":
            found = cluster.find()
            print(f"up: {found.kind}" if found else "down")
            return 0 if found else 1
        case "image":
            cluster.build_images(cluster.up())
        case "tools":
            for name, path in vars(cluster.ensure_tools()).items():
                print(f"{name}\t{path}")
        case "traces":
            left = cluster.traces()
            print("\n".join(left) or "no traces")
            return 1 if left else 0
    return 0


def _kubectl(arguments: list[str]) -> int:
    found = cluster.find() or cluster.up()
    os.execve(found.tools.kubectl, ["kubectl", *arguments], found.env())  # noqa: S606  # no shell is wanted


if __name__ == "__main__":
    sys.exit(main())
