"""How the end of a pass shows in the conditions."""

from datetime import timedelta
from typing import Any

import pytest

from llmbatch.api.batchjob_status import BatchJobStatus
from llmbatch.api.conditions import Condition
from llmbatch.api.reasons import Reason
from llmbatch.batch.pure.decision import Done, Ending, Finish, Stalled, Wait
from llmbatch.job.pure import conditions, next_status
from tests.support import build
from tests.support.kstatus import check_status

WAITING = Wait(Reason.UPLOADING, "The input is being uploaded.", aspect="InputReady")
SHORT = Stalled(Reason.OUTPUT_EXISTS, "It exists.", aspect="ResultsStored")
GOOD = Finish(Reason.SUCCEEDED, "All succeeded.", complete=True)
BAD = Finish(Reason.REQUEST_REFUSED, "400", complete=False)


def derive(
    ending: Ending,
    before: BatchJobStatus | None = None,
    after: BatchJobStatus | None = None,
    finish: Finish | None = None,
) -> dict[str, Condition]:
    before = before or build.status()
    made = conditions.derive(
        before, after or before, ending=ending, finish=finish, generation=3, now=build.NOW + timedelta(minutes=1)
    )
    return {item.type: item for item in made}


def said(found: dict[str, Condition]) -> dict[str, tuple[str, str]]:
    return {kind: (item.status, item.reason) for kind, item in found.items()}


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param(
            derive(WAITING),
            {
                "Ready": ("Unknown", "Uploading"),
                "Reconciling": ("True", "Uploading"),
                "InputReady": ("False", "Uploading"),
            },
            id="waiting: Reconciling, and why the step isn't done",
        ),
        pytest.param(
            derive(SHORT, build.submitted("completed")),
            {
                "Ready": ("False", "OutputExists"),
                "Stalled": ("True", "OutputExists"),
                "InputReady": ("True", "InputValid"),
                "Submitted": ("True", "Submitted"),
                "ResultsStored": ("False", "OutputExists"),
            },
            id="stalled: not Ready, and why the results aren't stored",
        ),
        pytest.param(
            derive(Done(), build.stored(), finish=GOOD),
            {
                "Ready": ("True", "Succeeded"),
                "Complete": ("True", "Succeeded"),
                "InputReady": ("True", "InputValid"),
                "Submitted": ("True", "Submitted"),
                "ResultsStored": ("True", "ResultsStored"),
            },
            id="complete: Ready, and at rest",
        ),
        pytest.param(
            derive(Done(), build.uploaded(), finish=BAD),
            {
                "Ready": ("False", "RequestRefused"),
                "Failed": ("True", "RequestRefused"),
                "Stalled": ("True", "RequestRefused"),
                "InputReady": ("True", "InputValid"),
                "Submitted": ("False", "RequestRefused"),
            },
            id="failed: Stalled, and at which step",
        ),
    ],
)
def test_conditions(found: dict[str, Condition], expected: dict[str, tuple[str, str]]) -> None:
    assert said(found) == expected


def test_an_end_once_written_stays() -> None:
    for kind in ("Complete", "Failed"):
        before = build.ended(kind)
        assert said(derive(WAITING, before)).items() >= {kind: ("True", before.conditions[0].reason)}.items()
        assert "Reconciling" not in derive(SHORT, before, finish=GOOD)


def test_a_transition_time_moves_only_with_its_status() -> None:
    first = derive(WAITING)
    before = build.status().model_copy(update={"conditions": list(first.values())})
    again = derive(Wait(Reason.TRANSFER_PENDING, "Starting."), before)
    assert again["Ready"].last_transition_time == first["Ready"].last_transition_time
    assert again["Ready"].reason == Reason.TRANSFER_PENDING
    later = build.status(conditions=[build.condition("Ready", "Unknown")])
    assert derive(SHORT, later)["Ready"].last_transition_time > later.conditions[0].last_transition_time


def test_a_step_that_is_not_done_keeps_its_reason_while_something_else_is_told() -> None:
    before = build.status(conditions=[build.condition("InputReady", "False", "InputNotFound")])
    assert said(derive(Wait(Reason.DELETING, "Deleting."), before))["InputReady"] == ("False", "InputNotFound")


def test_a_long_message_is_cut() -> None:
    assert len(derive(Wait(Reason.UPLOADING, "x" * 5000))["Ready"].message) == conditions.MESSAGE_LIMIT


def test_nothing_in_a_message_steers_the_terminal_of_who_reads_it() -> None:
    told = derive(Wait(Reason.TRANSFER_IMAGE_PULL_FAILED, "not found: \x1b]0;x\x07\x1b[2J\u202eimage\ud800\nnext"))[
        "Ready"
    ].message
    assert told == "not found: \ufffd]0;x\ufffd\ufffd[2J\ufffdimage\ufffd\nnext"


def test_the_generation_is_that_of_the_pass() -> None:
    assert {item.observed_generation for item in derive(WAITING, build.submitted()).values()} == {3}


@pytest.mark.parametrize("ending", [WAITING, SHORT, Wait(Reason.DELETING, "Deleting.")])
@pytest.mark.parametrize(
    "status", [build.status(), build.uploaded(), build.owed(), build.submitted(), build.stored(), build.ended("Failed")]
)
def test_every_closed_status_keeps_the_rules(status: BatchJobStatus, ending: Ending) -> None:
    given: Any = {
        "uid": build.UID,
        "ending": ending,
        "finish": None,
        "generation": 1,
        "deleting": False,
        "now": build.NOW,
    }
    closed = next_status.close(status, status, **given)
    check_status({"metadata": {"generation": 1}, "status": closed.dump()})


REFUSED = {"refusal": {"reason": "RequestRefused", "message": "No."}}


def of_three(*entries: dict[str, Any]) -> BatchJobStatus:
    """Make the status of a job with three parts; what of one isn't said hasn't begun."""
    batches = [{"part": part, "attempt": 1, "requests": 2, **entry} for part, entry in enumerate(entries)]
    return build.status(parts=3, input=build.INPUT, batches=batches)


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        pytest.param(
            [{"id": "a"}, {"id": "b"}, {"id": "c"}],
            ("True", "The batches of 3 parts were made."),
            id="all were made",
        ),
        pytest.param(
            [REFUSED, {"id": "b"}, {"id": "c"}],
            ("True", "2 of 3 batches were made; 1 came to nothing."),
            id="one was refused",
        ),
        pytest.param(
            [REFUSED, {"id": "b"}, {}],
            ("False", "1 of 3 batches were made; 1 came to nothing."),
            id="one was refused, and one is still to be made",
        ),
        pytest.param([REFUSED, REFUSED, REFUSED], ("False", "Told."), id="all were refused"),
    ],
)
def test_batches_count_as_submitted_when_those_are_at_the_provider_that_ever_will_be(
    entries: list[dict[str, Any]], expected: tuple[str, str]
) -> None:
    before = build.status(conditions=[build.condition("Submitted", "False", "RequestRefused")])
    found = derive(Wait(Reason.COLLECTING, "They are collected."), before, of_three(*entries))["Submitted"]
    assert (found.status, found.message) == expected


def test_a_part_that_was_refused_keeps_no_job_from_being_ready_by_its_submission() -> None:
    spec = build.spec(readyWhen="Submitted")
    assert conditions.is_ready_early(build.status(), of_three(REFUSED, {"id": "b"}, {"id": "c"}), spec)
    assert not conditions.is_ready_early(build.status(), of_three(REFUSED, {"id": "b"}, {}), spec)
    assert not conditions.is_ready_early(build.status(), of_three(REFUSED, REFUSED, REFUSED), spec)
