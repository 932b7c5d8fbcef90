"""Names of temporary files in a folder, and the claims among them: each tells of a file that may be there and not be whole."""

import os
from contextlib import suppress

from llmbatch.transfer.volumes import placement

OURS = ".llmbatch-"
"""How the names of temporary files begin."""
CLAIM = ".claim"
"""How those of claims end."""


def named(folder: int, prefix: str) -> list[str]:
    """Give the names in a folder that begin so: others may have millions of files beside ours."""
    with os.scandir(folder) as there:
        return [found.name for found in there if found.name.startswith(prefix)]


def claimed(folder: int, prefix: str) -> dict[str, str]:
    """Give what is claimed, by the claims whose names begin so."""
    found = {}
    for claim in named(folder, prefix):
        if claim.endswith(CLAIM):
            with suppress(OSError):
                found[claim] = placement.claimed(folder, claim)
    return found


def of(folder: int, name: str) -> str | None:
    """Name the claim of a file; None: there is none, or the folder can't be read."""
    with suppress(OSError):
        return next((claim for claim, what in claimed(folder, OURS).items() if what == name), None)
    return None
