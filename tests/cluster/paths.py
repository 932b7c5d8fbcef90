"""Where the cluster keeps its things: built tools and images outlive a cluster, its state does not."""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.cluster.shell import say

REPOSITORY = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").resolve() / "llmbatch"
"""Kept between clusters and shared by every clone: tools, base image, build layers."""

STATE = CACHE / "cluster"
"""The running cluster: keys, database, logs, pid files. `down` removes it."""

LOGS = CACHE / "cluster-logs"
"""Outside STATE, so that what a failed run said can still be read after `down`."""

LOADED_IMAGES = STATE / "loaded-images"
"""The hash of what the images that the embedded cluster holds were built from."""


def content_hash(inputs: Iterable[Path], *, salt: str = "") -> str:
    """Hash names and contents of files, or of all files below folders, but not what Python leaves there."""
    digest = hashlib.sha256(salt.encode())
    for top in sorted(inputs):
        files = sorted(path for path in top.rglob("*") if path.is_file()) if top.is_dir() else [top]
        for path in files:
            if "__pycache__" in path.parts or path.suffix == ".pyc":
                continue
            name = path.relative_to(REPOSITORY) if path.is_relative_to(REPOSITORY) else path
            content = path.read_bytes() if path.exists() else b"absent"
            digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:16]


@contextmanager
def made_whole(folder: Path) -> Iterator[Path]:
    """Give another folder to fill, which takes this one's name at the end: what was broken off never passes for it."""
    unfinished = folder.with_name(f"{folder.name}.{os.getpid()}")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    yield unfinished
    unfinished.rename(folder)


@contextmanager
def alone(name: str, others: str) -> Iterator[None]:
    """Keep other clones and terminals on this machine from doing the same at once; `others` says what is waited for."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"  Waiting for {others} on this machine")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
