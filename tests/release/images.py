"""The images of a release: built for a commit, looked into, pushed."""

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
    seconds = int(source.committed.timestamp())
    labels = {
        "org.opencontainers.image.title": _TITLES[target],
        "org.opencontainers.image.version": version,
        "org.opencontainers.image.revision": source.commit,
        "org.opencontainers.image.created": source.created,
        "org.opencontainers.image.licenses": "Apache-2.0",
        **({"org.opencontainers.image.base.digest": base_name.partition("@")[2]} if "@" in base_name else {}),
    }
    layers = f"localhost/release/{name}"
    options = [
        f"--timestamp={seconds}",
        *([] if cached else ["--no-cache"]),
        *(["--tls-verify=false"] if "@" in base_name and on_loopback(base_name) else []),
    ]
    with step(f"Image: building {name}", about="15 s, without cache 1 minute"):
        buildah.build(target, layers, base_name, *options)
        image = buildah.labelled(layers, labels, seconds=seconds)
    found, user = buildah.labels_and_user(image)
    if found != labels:
        raise ClusterError(f"The builder gave image {name} the labels {found}, not {labels}")
    check_user(name, user)
    with buildah.mounted(image) as root:
        return Built(name, image, packages(root))


def check_user(name: str, user: str) -> None:
    """Refuse an image that runs as root, or as a name that the kubelet can't tell from root's."""
    if not _NOT_ROOT.fullmatch(user):
        raise ClusterError(f"Image {name} runs as {user or 'root'!r}: its USER must be a number, and not 0")


def push(built: Built, destination: Destination, version: str) -> Pushed:
    """Push an image under the release's version, and forget it here."""
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
        # Its layers stay, under their own name; this was but labels.
        buildah.buildah("rmi", built.id)
        return Pushed(repository, digest.read_text().strip(), built)
