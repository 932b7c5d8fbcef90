"""A key of GnuPG's, as Helm wants it."""

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cluster import ClusterError, debian
from tests.cluster.shell import run


@dataclass(frozen=True)
class Key:
    """A secret key in the format before GnuPG 2.1, which is what Helm reads, and its public half."""

    user: str
    secret: Path
    public: Path
    passphrase: Path | None


@contextmanager
def key(environment: Mapping[str, str]) -> Iterator[Key | None]:
    """Take SIGN_KEY (id, fingerprint or address) out of GNUPGHOME for as long as it is needed; None if none is named.

    SIGN_PASSPHRASE_FILE holds its passphrase, if it has one.
    """
    wanted = environment.get("SIGN_KEY", "")
    if not wanted:
        yield None
        return
    debian.install(debian.SIGNING)
    passphrase = environment.get("SIGN_PASSPHRASE_FILE", "")
    unlocked = ["--pinentry-mode=loopback", f"--passphrase-file={passphrase}"] if passphrase else []
    # In memory where that can be: a secret key has no business on a disk.
    memory = Path("/dev/shm")  # noqa: S108  # the folder made in it is ours alone
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:
        secret, public = Path(folder) / "secret.gpg", Path(folder) / "public.gpg"
        gpg = ["gpg", "--batch", "--quiet", "--no-tty"]
        listing = run(
            [*gpg, "--list-secret-keys", "--with-colons", wanted],
            remedy=f"SIGN_KEY is {wanted!r}, of which GNUPGHOME has no secret key.",
        )
        users = [fields[9] for line in listing.splitlines() if (fields := line.split(":"))[0] == "uid"]
        if listing.count("\nsec:") + listing.startswith("sec:") != 1 or not users:
            raise ClusterError(f"SIGN_KEY is {wanted!r}, which names not one key: give its fingerprint")
        run([*gpg, *unlocked, f"--output={secret}", "--export-secret-keys", wanted])
        run([*gpg, f"--output={public}", "--export", wanted])
        yield Key(users[0], secret, public, Path(passphrase) if passphrase else None)
