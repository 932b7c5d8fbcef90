"""What can be said of the place for the results before any are there: from the spec and from the size of the input alone."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from llmbatch.api.batchjob import MAX_OBJECT_BYTES, MOST_KEY, BatchJobSpec, Output
from llmbatch.transfer.pure.plan import errors_path, foreign_path

MAX_NAME_BYTES = 255
"""Longest name of a file or folder in the file systems that are in use."""
OBJECT_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
NO_NAME = "is no name that an object can have (lower case letters, digits, '-' and '.' in between)"

LEAST_RESULT_BYTES = {"embeddings": 2500}
"""By the last word of the endpoint: a result line is hardly ever smaller."""
LEAST_BYTES = 250
"""The same, of all other endpoints."""


@dataclass(frozen=True)
class Destination:
    """Where results went, in words."""

    location: str
    errors_location: str
    foreign_location: str


def flaw(spec: BatchJobSpec) -> str | None:
    """Say why the place can't take results, whatever is there."""
    volume, place = spec.output.persistent_volume_claim, spec.output.secret or spec.output.config_map
    if place is not None:
        if len(place.key) > MOST_KEY:
            return f"key {place.key[:20]}… is longer than {MOST_KEY} characters: with '.errors' or '.foreign' it would be more than a key may have"
        if place.key == "." or place.key.startswith(".."):
            return f"key '{place.key}' may not be '.' and not begin with '..'"
        if not OBJECT_NAME.fullmatch(place.name):
            return f"'{place.name}' {NO_NAME}"
    if volume is None:
        return None
    for name in volume.path.split("/")[:-1]:
        if len(name.encode("utf-8", "surrogatepass")) > MAX_NAME_BYTES:
            return f"folder {name[:20]}… has more than {MAX_NAME_BYTES} bytes in its name"
    last = volume.path.rpartition("/")[2]
    if max(len(name.encode("utf-8", "surrogatepass")) for name in _beside(last)) > MAX_NAME_BYTES:
        return (
            f"name {last[:20]}… is too long: with what is put beside it (.errors.jsonl, .foreign.jsonl)"
            f" it would have more than {MAX_NAME_BYTES} bytes"
        )
    source = spec.input.persistent_volume_claim
    if (
        source is not None
        and source.claim_name == volume.claim_name
        and _clash({source.path}, set(_beside(volume.path)))
    ):
        return f"path {volume.path}, or what is put beside it, is the input's own ({source.path}), or one is a folder of the other"
    return None


def is_same(one: Output, other: Output) -> bool:
    """Tell whether two jobs would write to the same place."""
    if one.persistent_volume_claim is not None and other.persistent_volume_claim is not None:
        ours, theirs = one.persistent_volume_claim, other.persistent_volume_claim
        return ours.claim_name == theirs.claim_name and _clash(set(_beside(ours.path)), set(_beside(theirs.path)))
    # An object is one job's, whatever its keys.
    for ours_in, theirs_in in ((one.secret, other.secret), (one.config_map, other.config_map)):
        if ours_in is not None and theirs_in is not None:
            return ours_in.name == theirs_in.name
    return False


def too_small(spec: BatchJobSpec, requests: int) -> str | None:
    """Warn of a Secret or ConfigMap that will hardly hold the results of so many requests."""
    if spec.output.persistent_volume_claim is not None:
        return None
    least = LEAST_RESULT_BYTES.get(spec.endpoint.rstrip("/").rpartition("/")[2], LEAST_BYTES)
    if requests * least <= MAX_OBJECT_BYTES:
        return None
    kind = "Secret" if spec.output.secret is not None else "ConfigMap"
    return (
        f"The results of {requests} requests will hardly fit into a {kind} (1 MiB), which spec.output names;"
        " name a PersistentVolumeClaim there, any time before they are stored."
    )


def _beside(path: str) -> Iterator[str]:
    yield from (path, errors_path(path), foreign_path(path))


def _clash(ours: set[str], theirs: set[str]) -> bool:
    """Tell whether two of the paths are the same, or one is a folder on the way to another."""
    return any(
        one == other or one.startswith(f"{other}/") or other.startswith(f"{one}/") for one in ours for other in theirs
    )
