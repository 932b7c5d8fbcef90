"""The images of a release: built for a commit, looked into, pushed."""

import json
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.cluster import ClusterError, base_image, buildah
from tests.cluster.shell import say, step
from tests.release.destination import Destination, on_loopback
from tests.release.packages import Package, packages
from tests.release.source import Source

NAMES = {"operator": "llmbatch", "emulator": "llmbatch-emulator"}
"""By target of the Dockerfile."""

_TITLES = {"operator": "llmbatch operator", "emulator": "llmbatch emulator of a batch provider"}
_DIGEST = re.compile(r"\S+@sha256:[0-9a-f]{64}")
_NOT_ROOT = re.compile(r"[1-9]\d*(:\d+)?")


@dataclass(frozen=True)
class Built:
    """An image in the builder's storage."""

    name: str
    id: str
    packages: tuple[Package, ...]


@dataclass(frozen=True)
class Pushed:
    """An image at the registry."""

    repository: str
    digest: str  # sha256:…, of its manifest
    built: Built


def base(given: str) -> str:
    """Name the image to build on: the one given, by digest; else the one that tests make."""
    if not given:
        say("  BASE names no image: building on one made of Debian's packages here, which no other machine can repeat")
        return base_image.ensure()
    if not _DIGEST.fullmatch(given):
        raise ClusterError(
            f"BASE is {given!r}: name a Python image by digest, as in registry.example.com/python@sha256:…"
        )
    return given


def build(target: str, base_name: str, source: Source, version: str, *, cached: bool) -> Built:
    """Build a target, and read who it runs as and what it holds.

    Layers of the cache have the moments of the build that made them: only without it is an image the same everywhere.
    """
    name = NAMES[target]
    labels = {
        "title": _TITLES[target],
        "version": version,
        "revision": source.commit,
        "created": source.created,
        "licenses": "Apache-2.0",
    }
    with tempfile.TemporaryDirectory() as folder, step(f"Image: building {name}", about="15 s, without cache 1 minute"):
        built = Path(folder) / "id"
        buildah.build(
            target,
            f"localhost/release/{name}",
            base_name,
            f"--iidfile={built}",
            f"--timestamp={int(source.committed.timestamp())}",
            "--identity-label=false",  # the builder's version is no part of what is built
            *(f"--label=org.opencontainers.image.{key}={value}" for key, value in labels.items()),
            *([] if cached else ["--no-cache"]),
            *(["--tls-verify=false"] if on_loopback(base_name) and "@" in base_name else []),
        )
        image = built.read_text().strip().removeprefix("sha256:")
    check_user(
        name, json.loads(buildah.buildah("inspect", "--type", "image", image))["OCIv1"]["config"].get("User", "")
    )
    with buildah.mounted(image) as root:
        return Built(name, image, packages(root))


def check_user(name: str, user: str) -> None:
    """Refuse an image that runs as root, or as a name that the kubelet can't tell from root's."""
    if not _NOT_ROOT.fullmatch(user):
        raise ClusterError(f"Image {name} runs as {user or 'root'!r}: its USER must be a number, and not 0")


def push(built: Built, destination: Destination, version: str) -> Pushed:
    """Push an image under the release's version."""
    repository = destination.image(built.name)
    with tempfile.TemporaryDirectory() as folder, step(f"Image: pushing {repository}:{version}", about="20 s"):
        digest = Path(folder) / "digest"
        buildah.buildah(
            "push",
            "--quiet",
            *(["--tls-verify=false"] if destination.plain_http else []),
            f"--digestfile={digest}",
            built.id,
            f"docker://{repository}:{version}",
        )
        return Pushed(repository, digest.read_text().strip(), built)
