"""A release from beginning to end. Nothing is pushed before both images are built and checked; the chart goes last."""

import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.cluster import ClusterError
from tests.cluster.paths import REPOSITORY, alone
from tests.cluster.shell import say, step
from tests.gitops import plain
from tests.release import chart, images, sbom, signing, source
from tests.release.destination import Destination

CHECKSUMS = "SHA256SUMS"
_HEAD = "# llmbatch {version} as its chart installs it with default values.\n"


@dataclass(frozen=True)
class Released:
    """What was pushed, and where the files are."""

    version: str
    images: tuple[images.Pushed, ...]
    chart: str  # name@digest
    folder: Path


def release(registry: str, *, snapshot: bool, base: str, output: Path) -> Released:
    """Make and push a release of this checkout; SIGN_KEY in the environment names the key."""
    destination = Destination.of(registry)
    if not snapshot:
        _need(SIGN_KEY=os.environ.get("SIGN_KEY", ""), BASE=base)
    found = source.read(REPOSITORY)
    version = source.version(REPOSITORY, found, snapshot=snapshot)
    with alone("release", "another release"), signing.key(os.environ) as key:
        if not snapshot and chart.is_there(destination, version):
            raise ClusterError(
                f"{destination.charts} has version {version}, and a release does not change: raise the version"
            )
        if key is None:
            say("  NOT SIGNED: SIGN_KEY names no key, so nobody can verify the chart")
        base_name = images.base(base)
        built = [images.build(target, base_name, found, version, cached=snapshot) for target in images.NAMES]
        if not snapshot and source.read(REPOSITORY) != found:
            raise ClusterError("The files were changed while the images were built: nothing was pushed")
        pushed = {image.name: images.push(image, destination, version) for image in built}
        folder = output / f"llmbatch-{version}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name, image in pushed.items():
            (folder / f"{name}.cdx.json").write_text(sbom.text(image, found, version), encoding="utf-8")
        with step("Chart: packing it", about="2 s"):
            packed = chart.package(pushed, version, folder, key)
        manifest = plain.manifest(chart.render(packed), _HEAD.format(version=version))
        (folder / plain.PAGE.name).write_text(manifest, encoding="utf-8")
        (folder / CHECKSUMS).write_text(checksums(folder), encoding="utf-8")
        with step("Chart: pushing it", about="2 s"):
            digest = chart.push(packed, destination)
    name = f"{destination.charts}/{chart.SOURCE.name}:{version}@{digest}"
    return Released(version, tuple(pushed.values()), name, folder)


def _need(**given: str) -> None:
    missing = [name for name, value in given.items() if not value]
    if missing:
        raise ClusterError(
            f"A release needs {' and '.join(missing)}: a key that it can be verified by, and a Python image by digest "
            "that others can build on too; or make a snapshot: SNAPSHOT=1"
        )


def checksums(folder: Path) -> str:
    """Hash the files of a folder, as `sha256sum --check` reads it."""
    files = sorted(path for path in folder.iterdir() if path.name != CHECKSUMS)
    return "".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files)
