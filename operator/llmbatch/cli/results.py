"""Results and failed requests, byte for byte from wherever they were stored, and held against what the status says of them."""

import os
import tempfile
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, Literal

from llmbatch.api.batchjob import BatchJobSpec
from llmbatch.api.batchjob_status import BatchJobStatus
from llmbatch.cli import objects, pods
from llmbatch.cli.cluster import Cluster
from llmbatch.cli.pods import Helper
from llmbatch.cli.told import NO, YES, CommandError, note, output
from llmbatch.kube.permissions import CONFIGMAPS, SECRETS
from llmbatch.kube.values import value_of
from llmbatch.transfer.pure.plan import errors_path

Which = Literal["results", "errors"]
RESULTS: Which = "results"
ERRORS: Which = "errors"


@dataclass(frozen=True)
class _Stored:
    """What the status says of a file of results."""

    location: str
    bytes: int | None
    sha256: str | None


def fetch(cluster: Cluster, name: str, which: Which, into: str | None, helper: Helper) -> int:
    """Write results, or failed requests, to a file or to standard output."""
    job = cluster.job(name)
    status = objects.status_of(job)
    if status.output is None:
        raise CommandError(_why_none(cluster, name, status), NO)
    if (stored := _stored(status, which)) is None:
        note(f"no request of BatchJob {cluster.namespace}/{name} failed: there are none to fetch")
        blocks = _nothing()
    else:
        blocks = _read(cluster, objects.spec_of(job), which, helper)
    digest, size = sha256(), 0
    # Closed in every case, and with it the pod: whoever reads may have had enough in the middle.
    with closing(blocks), _target(into) as target:
        for block in blocks:
            digest.update(block)
            size += len(block)
            target.write(block)
        if stored is not None:
            _compare(stored, size, digest.hexdigest())
    return YES


def _nothing() -> Generator[bytes]:
    yield from ()


def _why_none(cluster: Cluster, name: str, status: BatchJobStatus) -> str:
    ready = status.condition("Ready")
    why = f" ({ready.reason}: {ready.message})" if ready is not None else ""
    what = f"BatchJob {cluster.namespace}/{name} has stored no results"
    if status.holds("Failed"):
        return f"{what} and has failed{why}; {cluster.told_to('retry', name)} makes another one"
    return f"{what} yet{why}; {cluster.told_to('watch', name)} waits for its end"


def _stored(status: BatchJobStatus, which: Which) -> _Stored | None:
    """Give what was stored; None: there are no failed requests."""
    output = status.output
    if output is None:
        return None
    if which == RESULTS:
        return _Stored(output.location, output.bytes, output.sha256)
    if output.errors_location is None:
        return None
    return _Stored(output.errors_location, output.errors_bytes, output.errors_sha256)


def _read(cluster: Cluster, spec: BatchJobSpec, which: Which, helper: Helper) -> Generator[bytes]:
    # Once results are stored, spec.output can't change any more: they are where it says.
    if (volume := spec.output.persistent_volume_claim) is not None:
        path = volume.path if which == RESULTS else errors_path(volume.path)
        yield from pods.read(cluster, helper, volume.claim_name, path, spec.transfer)
        return
    place, resource = spec.output.secret or spec.output.config_map, SECRETS if spec.output.secret else CONFIGMAPS
    if place is None:
        raise CommandError("spec.output names no place")
    key = place.key if which == RESULTS else f"{place.key}.errors"
    found = cluster.get(resource, place.name)
    data = value_of(found or {}, key)
    if data is None:
        kind = "Secret" if resource is SECRETS else "ConfigMap"
        gone = f"key {key} of {kind} {cluster.namespace}/{place.name} is gone" if found is not None else ""
        raise CommandError(
            f"{gone or f'{kind} {cluster.namespace}/{place.name} is gone'}: somebody deleted the results after they were stored"
        )
    yield data


def _compare(stored: _Stored, size: int, digest: str) -> None:
    """Hold what was read against what was stored.

    Raises:
        CommandError: It is something else.
    """
    if (stored.sha256 is None or digest == stored.sha256) and (stored.bytes is None or size == stored.bytes):
        return
    raise CommandError(
        f"{stored.location} has {size} bytes with SHA-256 {digest}, and {stored.bytes} with {stored.sha256} were stored:"
        " it was changed since, or did not arrive whole; fetch it again",
        NO,
    )


@contextmanager
def _target(into: str | None) -> Iterator[BinaryIO]:
    """Open what is written to; a file has its name only once it is whole."""
    if into is None:
        with output() as file:
            yield file
        return
    path = Path(into)
    try:
        if path.exists() and not path.is_file():
            # A pipe or a device is written to; nothing takes its place.
            with path.open("wb") as file:
                yield file
            return
        path = path.resolve()
        descriptor, unfinished = tempfile.mkstemp(prefix=".llmbatch-", dir=path.parent)
    except OSError as error:
        raise CommandError(
            f"-o {into}: {error.strerror or error}; name a file in a folder that you may write to"
        ) from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
        os.umask(mask := os.umask(0))
        # A file that only its owner may read stays one.
        Path(unfinished).chmod(path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~mask)
        Path(unfinished).replace(path)
    except BaseException as error:
        Path(unfinished).unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise CommandError(f"-o {into}: {error.strerror or error}") from None
        raise
