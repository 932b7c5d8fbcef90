"""A stand-in for `python:3.x-slim`, made of Debian's packages, where no image registry can be reached."""

import os
import shutil
from pathlib import Path

from tests.cluster import buildah, debian
from tests.cluster.paths import CACHE, alone, content_hash
from tests.cluster.shell import run, step

SUITE = "bookworm"
PACKAGES = "python3,python3-venv,ca-certificates"
_VERSION = content_hash([], salt=f"{SUITE} {PACKAGES}")
NAME = f"localhost/python-base:{_VERSION}"


def ensure() -> str:
    """Return the name of the base image; make it if the builder's storage has none."""
    if not buildah.has(NAME):
        with alone("base-image", "another process that makes the base image"):
            if not buildah.has(NAME):
                _make()
    return NAME


def _make() -> None:
    files = _root_files()
    with step("Base image: committing it", about="20 s"):
        container = buildah.buildah("from", "scratch").strip()
        buildah.buildah("add", "--quiet", container, files, "/")
        buildah.buildah("commit", "--quiet", "--rm", container, NAME)


def _root_files() -> Path:
    folder = CACHE / f"image-base-{_VERSION}"
    if folder.is_dir():
        return folder
    debian.install(debian.IMAGES)
    unfinished = folder.with_name(f"{folder.name}.{os.getpid()}")
    with step("Base image: installing Debian's Python into a folder", about="1 minute"):
        run(
            ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", SUITE, unfinished, *_mirror()],
            remedy="It needs the Debian mirror that apt is set up with, and Debian's archive keyring.",
        )
        # What only installing needs is a third of the size.
        for waste in ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale"):
            shutil.rmtree(unfinished / waste, ignore_errors=True)
    unfinished.rename(folder)
    return folder


def _mirror() -> list[str]:
    """Return the mirror that apt uses here for this suite; debootstrap itself doesn't look."""
    sites = run(["apt-get", "indextargets", "--format", "$(SITE) $(RELEASE)"])
    for line in sites.splitlines():
        site, _, suite = line.partition(" ")
        if suite == SUITE:
            return [site]
    return []
