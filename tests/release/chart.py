"""The chart of a release: it names the images that were pushed, by digest."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

import yaml

from tests.chart import values_table
from tests.chart.helm import NAMESPACE, RELEASE, Manifest, manifests
from tests.cluster import ClusterError
from tests.cluster.paths import REPOSITORY
from tests.cluster.shell import run
from tests.cluster.tools import KUBERNETES_VERSION, ensure_tools
from tests.release.destination import Destination
from tests.release.images import Pushed
from tests.release.signing import Key

SOURCE = REPOSITORY / "charts/llmbatch"
_PLACES = {"llmbatch": ("image",), "llmbatch-emulator": ("emulator", "image")}
"""Where the chart's values have an image, by its name."""
_DIGEST = re.compile(r"^Digest: (sha256:[0-9a-f]{64})$", re.MULTILINE)


def helm() -> Path:
    """Find Helm, or build it."""
    found = shutil.which("helm")
    return Path(found) if found else ensure_tools().helm


def package(images: Mapping[str, Pushed], version: str, folder: Path, key: Key | None) -> Path:
    """Pack the chart, and sign it (`.prov` beside it) if there is a key."""
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / SOURCE.name
        shutil.copytree(SOURCE, copy)
        values = with_images((copy / "values.yaml").read_text(encoding="utf-8"), images)
        (copy / "values.yaml").write_text(values, encoding="utf-8")
        about = with_pushed((copy / "Chart.yaml").read_text(encoding="utf-8"), images)
        (copy / "Chart.yaml").write_text(about, encoding="utf-8")
        readme = copy / "README.md"
        readme.write_text(values_table.updated(readme.read_text(encoding="utf-8"), values), encoding="utf-8")
        named = [f"--version={version}", f"--app-version={version}", f"--destination={folder}"]
        run([helm(), "package", copy, *named, *(_signed(key) if key else [])])
    packed = folder / f"{SOURCE.name}-{version}.tgz"
    if key:
        run([helm(), "verify", packed, f"--keyring={key.public}"])
    return packed


def _signed(key: Key) -> list[str]:
    passphrase = [f"--passphrase-file={key.passphrase}"] if key.passphrase else []
    return ["--sign", f"--key={key.user}", f"--keyring={key.secret}", *passphrase]


def with_images(values: str, images: Mapping[str, Pushed]) -> str:
    """Put repositories and digests into the text of values.yaml, whose comments stay."""
    for name, image in images.items():
        before = re.compile(rf'(repository: )localhost/{name}\n(.*?\bdigest: )""', re.DOTALL)
        values = before.sub(rf'\g<1>{image.repository}\n\g<2>"{image.digest}"', values, count=1)
        found = yaml.safe_load(values)
        for part in _PLACES[name]:
            found = found[part]
        if (found["repository"], found["digest"]) != (image.repository, image.digest):
            where = ".".join(_PLACES[name])
            raise ClusterError(f"charts/llmbatch/values.yaml has no {where} of localhost/{name} with an empty digest")
    return values


def with_pushed(about: str, images: Mapping[str, Pushed]) -> str:
    """Put what was pushed into Chart.yaml's list of images, by which catalogues and mirrors go."""
    for name, image in images.items():
        pushed = f"image: {image.repository}@{image.digest}"
        about = re.sub(rf"image: localhost/{name}:\S+\n *whitelisted: true", pushed, about)
    if "localhost/" in about:
        raise ClusterError("charts/llmbatch/Chart.yaml names an image that nobody else has")
    return about


def render(chart: Path) -> list[Manifest]:
    """Give what the chart installs by its own values."""
    version = f"--kube-version={KUBERNETES_VERSION}"
    return manifests(run([helm(), "template", RELEASE, chart, f"--namespace={NAMESPACE}", version]))


def is_there(destination: Destination, version: str) -> bool:
    """Tell whether the registry has the chart in this version: it is pushed last, so then the release is whole."""
    name = f"{destination.charts}/{SOURCE.name}"
    asked: list[str | Path] = [helm(), "show", "chart", name, f"--version={version}", *_way(destination)]
    done = subprocess.run([str(word) for word in asked], capture_output=True, text=True, check=False, timeout=60)
    if done.returncode != 0 and "not found" not in done.stderr:
        # Whoever can't ask must not push over what may be there.
        raise ClusterError(f"Whether {name} has version {version} already can't be told:\n{done.stderr}")
    return done.returncode == 0


def push(packed: Path, destination: Destination) -> str:
    """Push chart and signature; answer the digest."""
    argv: list[str | Path] = [helm(), "push", packed, destination.charts, *_way(destination)]
    done = subprocess.run([str(word) for word in argv], capture_output=True, text=True, check=False)
    # Where Helm says the digest has changed between its versions.
    said = done.stdout + done.stderr
    if done.returncode != 0 or not (digest := _DIGEST.search(said)):
        raise ClusterError(f"Pushing {packed.name} to {destination.charts} failed:\n{said}")
    return digest[1]


def _way(destination: Destination) -> list[str]:
    """Give options: the same file of credentials as the builder's, if it is told one."""
    credentials = os.environ.get("REGISTRY_AUTH_FILE", "")
    return [
        *(["--plain-http"] if destination.plain_http else []),
        *([f"--registry-config={credentials}"] if credentials else []),
    ]
