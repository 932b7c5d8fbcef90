"""Why a transfer can't go on, raised from wherever that is found and turned into the report's Problem in one place."""

import errno
import os
from typing import Literal

from llmbatch.api.reasons import Reason
from llmbatch.common.text import one_line
from llmbatch.provider.edge.outcome import Failure, NotFound, UnusableId
from llmbatch.transfer.pure.report import Problem

Side = Literal["input", "output"]


class ProblemError(Exception):
    """A foreseen end of a transfer."""

    def __init__(
        self, reason: Reason, message: str, *, final: bool = False, retry_after_seconds: float | None = None
    ) -> None:
        """Say why, for a person, and what to do about it."""
        super().__init__(message)
        self.problem = Problem(
            reason=reason, message=one_line(message, 1024), final=final, retry_after_seconds=retry_after_seconds
        )


def of_failure(failure: Failure, not_found: Reason) -> ProblemError:
    """Turn a call's failure into a problem."""
    if isinstance(failure, UnusableId):
        return ProblemError(Reason.UNUSABLE_ID, failure.message)
    if isinstance(failure, NotFound):
        return ProblemError(not_found, failure.message)
    return ProblemError(failure.reason, failure.message, retry_after_seconds=failure.retry_after)


def of_os_error(error: OSError, side: Side, path: str) -> ProblemError:
    """Turn an error of the file system into a problem; `path` is shown, `side` is spec.input or spec.output."""
    why = f"{path}: {error.strerror or 'error of the file system'}"
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT | errno.EFBIG:
            return ProblemError(Reason.VOLUME_FULL, f"{why}; make room on the volume or enlarge its claim")
        case errno.EROFS:
            return ProblemError(Reason.PERMISSION_DENIED, f"{why}; name a claim in spec.output that can be written")
        case errno.EACCES | errno.EPERM:
            return ProblemError(
                Reason.PERMISSION_DENIED,
                f"{why} for user {os.geteuid()}, group {os.getegid()}; set runAsUser, runAsGroup or fsGroup in spec.transfer.securityContext to the owner of the files",
            )
        case errno.ENOENT if side == "input":
            return ProblemError(Reason.INPUT_NOT_FOUND, f"{why}; put the file there or correct spec.input")
        case errno.ENOSYS | errno.ENOTSUP | errno.EOPNOTSUPP | errno.EXDEV | errno.EMLINK if side == "output":
            return ProblemError(
                Reason.OUTPUT_UNSUPPORTED,
                f"{why}: the volume can't do what it takes to store results; name another claim in spec.output",
            )
        case errno.ENAMETOOLONG if side == "output":
            return invalid(side, f"{why} (a name has at most 255 bytes, with .errors.jsonl and .foreign.jsonl)")
        case errno.ENOTDIR | errno.EISDIR | errno.ELOOP | errno.ENAMETOOLONG | errno.EINVAL | errno.ENXIO:
            return invalid(side, why)
        case _:
            return ProblemError(Reason.TRANSFER_FAILED, f"{why}; it is tried again")


def invalid(side: Side, why: str) -> ProblemError:
    """Say that a path can't be used."""
    reason = Reason.INPUT_NOT_FOUND if side == "input" else Reason.OUTPUT_INVALID
    return ProblemError(reason, f"{why}; correct the path in spec.{side}")
