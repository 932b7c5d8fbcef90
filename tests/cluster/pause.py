"""The image that every pod's first container is made of: ours, since there is no registry to pull it from."""

import hashlib
import io
import json
import platform
import tarfile
from pathlib import Path

from tests.cluster import debian
from tests.cluster.components import PAUSE_IMAGE
from tests.cluster.paths import HERE, content_hash
from tests.cluster.shell import run

SOURCE = HERE / "toolchain" / "pause" / "pause.c"


def image(cache: Path) -> Path:
    """Return an archive with the pause image; compile it if the cache has none."""
    archive = cache / f"image-pause-{content_hash([SOURCE, Path(__file__)])}.tar"
    if not archive.exists():
        debian.install(debian.COMPILER)
        program = archive.with_suffix(".bin")
        run(["gcc", "-Os", "-static", "-s", "-o", program, SOURCE])
        unfinished = archive.with_suffix(".unfinished")
        _write(unfinished, program.read_bytes())
        unfinished.rename(archive)
        program.unlink()
    return archive


def _write(path: Path, program: bytes) -> None:
    """Write the archive by hand: for one file in one layer an image builder would be a heavy dependency."""
    layer = _tar({"pause": program}, mode=0o755)
    config = json.dumps(
        {
            "architecture": _architecture(),
            "os": "linux",
            "config": {"Entrypoint": ["/pause"], "User": "65535:65535"},
            "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
        }
    ).encode()
    manifest = [{"Config": "config.json", "RepoTags": [PAUSE_IMAGE], "Layers": ["layer.tar"]}]
    content = {"layer.tar": layer, "config.json": config, "manifest.json": json.dumps(manifest).encode()}
    path.write_bytes(_tar(content, mode=0o644))


def _tar(files: dict[str, bytes], *, mode: int) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _architecture() -> str:
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
