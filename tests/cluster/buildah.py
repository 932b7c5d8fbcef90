"""Building images without a daemon, in a storage of our own."""

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.cluster import debian
from tests.cluster.paths import CACHE, REPOSITORY, alone
from tests.cluster.shell import run, succeeds

_STORAGE = CACHE / "buildah"
_CERTIFICATES = Path("/etc/ssl/certs")
_RESOLVER = Path("/etc/resolv.conf")


def buildah(*arguments: str | Path) -> str:
    debian.install(debian.IMAGES)
    return run([*_command(), *arguments], cwd=REPOSITORY)


def has(image: str) -> bool:
    debian.install(debian.IMAGES)
    return succeeds([*_command(), "inspect", "--type", "image", image])


def build(target: str, image: str, base: str, *options: str) -> None:
    """Build one target of the Dockerfile; unchanged layers come from the storage, unless an option says otherwise."""
    # Two at once would both do what the second finds in the cache after the first.
    with tempfile.TemporaryDirectory() as folder, alone(f"image-{target}", f"another build of the {target}'s image"):
        settings = Path(folder) / "pip.conf"
        mounts = _pip_settings(settings)
        buildah(
            "bud",
            "--layers",
            "--isolation=chroot",  # the only one that works in a container or with few capabilities
            "--quiet",
            f"--target={target}",
            f"--build-arg=PYTHON_IMAGE={base}",
            *(f"--volume={mount}:{mount}:ro" for mount in mounts if mount.exists()),
            f"--volume={settings}:/etc/pip.conf:ro",
            f"--tag={image}",
            *options,
            ".",
        )


def export(image: str, archive: Path, *, name: str | None = None) -> None:
    """Write an image to a file, perhaps under another name, which is then completed as Docker does where it says no registry."""
    # Uncompressed: it's read once, on this machine.
    form = f"oci-archive:{archive}:{image}" if name is None else f"docker-archive:{archive}:{name}"
    buildah("push", "--quiet", "--disable-compression", image, form)


def labelled(image: str, labels: Mapping[str, str], *, seconds: int) -> str:
    """Make an image with these labels and no others, created then (since 1970); answer its id.

    `build` can't: where the cache has what was built without labels, the builder forgets those that it is told.
    """
    container = buildah("from", "--pull-never", image).strip()
    try:
        given = [f"--label={name}={value}" for name, value in labels.items()]
        buildah("config", "--label=-", "--annotation=-", *given, container)
        # History and annotations name what images are called here.
        bare = ["--identity-label=false", "--omit-history", f"--timestamp={seconds}"]
        return buildah("commit", "--quiet", *bare, container).strip()
    finally:
        buildah("rm", container)


def labels_and_user(image: str) -> tuple[dict[str, str], str]:
    """Read an image's labels and who it runs as."""
    config = json.loads(buildah("inspect", "--type", "image", image))["OCIv1"]["config"]
    return config.get("Labels") or {}, config.get("User", "")


@contextmanager
def mounted(image: str) -> Iterator[Path]:
    """Give the root folder of an image, to read from; only root can have it."""
    container = buildah("from", "--pull-never", image).strip()
    try:
        yield Path(buildah("mount", container).strip())
    finally:
        buildah("rm", container)


def _command() -> list[str | Path]:
    return ["buildah", f"--root={_STORAGE / 'storage'}", f"--runroot={_STORAGE / 'run'}"]


def _pip_settings(path: Path) -> list[Path]:
    """Hand this machine's way to its packages (settings, certificates) to pip in the build.

    It is none of the Dockerfile's business how the machine that builds reaches the network.
    """
    listing = subprocess.run(["python3", "-m", "pip", "config", "list"], capture_output=True, text=True, check=False)
    options = {}
    for line in listing.stdout.splitlines():
        name, _, value = line.partition("=")
        options[name.rpartition(".")[2]] = value.strip("'\"")
    path.write_text("[global]\n" + "".join(f"{name} = {value}\n" for name, value in options.items()))
    named = [Path(value) for value in options.values() if os.path.isabs(value)]  # noqa: PTH117  # any string
    outside = [file for file in named if not file.is_relative_to(_CERTIFICATES)]
    return [_CERTIFICATES, _RESOLVER, *outside]
