"""Downloading a whole file: a download that broke off begins again, a few times."""

import time
from typing import BinaryIO

from llmbatch import crash
from llmbatch.api.reasons import Reason
from llmbatch.provider.edge.files import Files, Progress, TooLargeError
from llmbatch.provider.edge.outcome import Answered, Failure, NotFound, Refused, Unreachable
from llmbatch.provider.pure import ids
from llmbatch.transfer.volumes.problem import ProblemError, of_failure

TRIES = 3
_PAUSE_SECONDS = 0.5

LOST = frozenset({Reason.RESULTS_UNREADABLE, Reason.UNUSABLE_ID})
"""Files that can't be had, or hold nothing that can be read."""


class BrokenOffError(ProblemError):
    """Every try broke off: the next one may be luckier."""


def fetch(
    files: Files,
    file_id: str,
    into: BinaryIO,
    *,
    most: int | None = None,
    limit: int | None = None,
    progress: Progress | None = None,
) -> None:
    """Download a file from its beginning until it is whole; gives up early above `most` bytes.

    Raises:
        BrokenOffError: It was not had whole this time.
        ProblemError: It isn't there, can't be had whole, or has more than `most` bytes (`limit` is what is told).
        OSError: `into` can't take it.
    """
    for attempt in range(1, TRIES + 1):
        into.seek(0)
        into.truncate()
        try:
            with crash.around(crash.Effect.DOWNLOAD_FILE):
                result = files.download(file_id, into, most=most, progress=progress)
        except TooLargeError as error:
            raise too_large(error.size, limit or most or 0) from None
        match result:
            case Answered():
                into.flush()
                return
            case Unreachable(sent=True, retry_after=None) if attempt < TRIES:
                time.sleep(_PAUSE_SECONDS * attempt)
            case Unreachable(sent=True):
                raise BrokenOffError(
                    Reason.RESULTS_UNREADABLE,
                    f"{result.message}; the results stay at the provider",
                    retry_after_seconds=result.retry_after,
                )
            case NotFound() if not ids.is_safe_id(file_id):
                raise of_failure(result, Reason.RESULTS_UNREADABLE)
            case NotFound() | Refused(status=410):
                raise _gone(file_id, result)
            case Refused(status=400 | 403 | 404) if files.is_gone(file_id):
                raise _gone(file_id, result)
            case Refused(reason=Reason.REQUEST_REFUSED):
                raise ProblemError(Reason.RESULTS_UNREADABLE, f"{result.message}; the results stay at the provider")
            case _:
                raise of_failure(result, Reason.RESULTS_UNREADABLE)


def _gone(file_id: str, failure: Failure) -> ProblemError:
    """Say that a file is not there any more."""
    return ProblemError(
        Reason.RESULTS_UNREADABLE, f"The provider does not have file {file_id} (any more): {failure.message}"
    )


def too_large(size: int | None, limit: int) -> ProblemError:
    """Say that the results don't fit into their destination."""
    told = f"have {size} bytes, more than" if size is not None else "have more than"
    return ProblemError(
        Reason.OUTPUT_TOO_LARGE,
        f"the results {told} the {limit} bytes that a Secret or ConfigMap can hold here; name a PersistentVolumeClaim in spec.output",
    )
