"""A release of this checkout, made as a person makes it, into a registry on loopback."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cluster import debian
from tests.cluster.paths import REPOSITORY
from tests.release.served import Registry

NAMESPACE = "team"


@dataclass(frozen=True)
class Made:
    """What `make release` printed and wrote."""

    registry: Registry
    printed: tuple[str, ...]
    said: str
    folder: Path
    keyring: Path

    @property
    def version(self) -> str:
        """The version that all of it has."""
        return self.folder.name.removeprefix("llmbatch-")

    @property
    def prefix(self) -> str:
        """What all names begin with."""
        return f"{self.registry.host}/{NAMESPACE}"


@dataclass(frozen=True)
class KeyRing:
    """A home of GnuPG's with one key in it."""

    home: Path
    address: str
    public: Path


def make_key(home: Path, *, passphrase: str = "") -> KeyRing:
    """Make a key that signs."""
    debian.install(debian.SIGNING)
    gpg = ["gpg", "--homedir", str(home), "--batch", "--quiet"]
    address, public = "release@example.com", home / "public.gpg"
    locked = ["--pinentry-mode=loopback", "--passphrase", passphrase]
    subprocess.run(
        [*gpg, *locked, "--quick-gen-key", address, "rsa2048", "sign", "1d"], check=True, capture_output=True
    )
    subprocess.run([*gpg, "--output", str(public), "--export", address], check=True, capture_output=True)
    return KeyRing(home, address, public)


@pytest.fixture(scope="module")
def key_home() -> Iterator[Path]:
    """A folder for GnuPG: its sockets want a short name, and its agent stays until it is told to go."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)
        subprocess.run(["gpgconf", "--homedir", folder, "--kill", "all"], check=False)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, key_home: Path) -> Iterator[Made]:
    """A signed snapshot."""
    ring, output = make_key(key_home), tmp_path_factory.mktemp("dist")
    with Registry(tmp_path_factory.mktemp("registry")) as registry:
        done = subprocess.run(
            ["make", "-s", "release", f"REGISTRY={registry.host}/{NAMESPACE}", "SNAPSHOT=1", f"OUTPUT={output}"],
            cwd=REPOSITORY, env={**os.environ, "GNUPGHOME": str(ring.home), "SIGN_KEY": ring.address},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        (folder,) = output.iterdir()
        yield Made(registry, tuple(done.stdout.splitlines()), done.stderr, folder, ring.public)
