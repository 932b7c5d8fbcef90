"""The transfer Job's process: plan from the environment, report to the termination log, progress to standard output."""

import json
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Literal

from pydantic import ValidationError

from llmbatch import crash
from llmbatch.transfer.edge.collect import collect
from llmbatch.transfer.edge.discard import discard
from llmbatch.transfer.edge.merge import merge
from llmbatch.transfer.edge.upload import upload
from llmbatch.transfer.pure.plan import PLAN_VARIABLE, CollectPlan, DiscardPlan, MergePlan, UploadPlan, read
from llmbatch.transfer.pure.report import REPORT_PATH, Report, fitted

REPORT_VARIABLE = "LLMBATCH_REPORT"
_EVERY_SECONDS = 5.0
_SIGTERM_EXIT = 128 + signal.SIGTERM


class ProgressLog:
    """Writes a line of JSON every few seconds, and one when a step is done: what, bytes, percent. No data."""

    def __init__(self) -> None:
        """Begin with nothing to say."""
        self._step = ""
        self._due = 0.0

    def __call__(self, step: str, done: int, total: int | None) -> None:
        """Take note of progress."""
        now = time.monotonic()
        if step == self._step and now < self._due and done != total:
            return
        self._step, self._due = step, now + _EVERY_SECONDS
        percent = {"percent": 100 * done // total} if total else {}
        log(step, bytes=done, **percent)


def log(event: str, **fields: object) -> None:
    """Write one line of JSON to standard output."""
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    sys.stdout.write(json.dumps({"time": moment, "event": event, **fields}) + "\n")
    sys.stdout.flush()


def run_transfer(kind: Literal["upload", "collect", "merge", "discard"]) -> int:
    """Run the transfer that the environment describes; 0: a report was written, 1: there was nothing to report on."""
    signal.signal(signal.SIGTERM, _terminate)
    text = os.environ.get(PLAN_VARIABLE)
    if text is None:
        log("failed", message=f"{PLAN_VARIABLE} is not set; this command is run by the operator's transfer Job")
        return 1
    report: Report
    text = read(text)
    try:
        if kind == "upload":
            report = upload(UploadPlan.model_validate_json(text), None, os.environ, progress=ProgressLog())
        elif kind == "merge":
            report = merge(MergePlan.model_validate_json(text))
        elif kind == "discard":
            report = discard(DiscardPlan.model_validate_json(text))
        else:
            report = collect(CollectPlan.model_validate_json(text), os.environ, progress=ProgressLog())
    except ValidationError as error:
        log(
            "failed",
            message=f"{PLAN_VARIABLE} can't be read: {error.error_count()} errors; operator and transfer image differ?",
        )
        return 1
    body = fitted(report)
    with crash.around(crash.Effect.WRITE_REPORT):
        Path(os.environ.get(REPORT_VARIABLE, REPORT_PATH)).write_bytes(body)
    if report.problem is None:
        log("done")
    else:
        log("problem", reason=report.problem.reason, message=report.problem.message)
    return 0


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    # An exception like any other: what is under way removes its temporary files on the way out.
    sys.exit(_SIGTERM_EXIT)
