"""The lifecycles: a table for a batch and one for a job with several, from which the diagrams in docs/concepts.md are made."""

import itertools

import pytest

from llmbatch.api.batchjob_status import BatchJobStatus, Phase
from llmbatch.batch.pure import lifecycle
from llmbatch.job.pure import lifecycle as of_job
from tests.support import build, diagram

MOVES = [(before, after) for before, moves in lifecycle.TRANSITIONS.items() for after in moves]


def test_the_table_has_every_phase() -> None:
    assert set(lifecycle.TRANSITIONS) == set(Phase)


def test_every_phase_can_be_reached() -> None:
    reached, new = {Phase.PENDING}, {Phase.PENDING}
    while new:
        new = {after for before in new for after in lifecycle.TRANSITIONS[before]} - reached
        reached |= new
    assert reached == set(Phase)


def test_from_an_end_there_is_only_deletion_and_from_deletion_nothing() -> None:
    for phase in lifecycle.TERMINAL:
        assert set(lifecycle.TRANSITIONS[phase]) == {Phase.DELETING}
    assert lifecycle.TRANSITIONS[Phase.DELETING] == {}


def test_every_phase_but_the_last_can_be_deleted_from() -> None:
    assert all(Phase.DELETING in moves for phase, moves in lifecycle.TRANSITIONS.items() if phase != Phase.DELETING)


@pytest.mark.parametrize(("before", "after"), list(itertools.product(Phase, Phase)))
def test_only_moves_of_the_table_are_allowed(before: Phase, after: Phase) -> None:
    if before == after or (before, after) in MOVES:
        lifecycle.check_move(before, after)
    else:
        with pytest.raises(lifecycle.IllegalMoveError, match=f"from {before} to {after}"):
            lifecycle.check_move(before, after)


@pytest.mark.parametrize("phase", Phase)
def test_a_restored_object_may_start_anywhere(phase: Phase) -> None:
    lifecycle.check_move(None, phase)


def test_every_move_is_labelled_and_drawn() -> None:
    drawn = lifecycle.diagram().splitlines()
    for before, after in MOVES:
        label = lifecycle.TRANSITIONS[before][after]
        assert label
        assert after is Phase.DELETING or f"    {before} --> {after}: {label}" in drawn
    assert "note right of Deleting" in lifecycle.diagram()


def test_the_pages_diagram_is_current() -> None:
    assert diagram.main(["--check"]) == 0, "python -m tests.support.diagram writes it"


def test_a_text_without_the_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="marks"):
        diagram.with_diagram("# README")


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        pytest.param(build.status(), Phase.PENDING, id="nothing done"),
        pytest.param(build.uploaded(), Phase.SUBMITTING, id="input uploaded"),
        pytest.param(build.owed(), Phase.SUBMITTING, id="an answer is owed"),
        pytest.param(build.submitted(batch={"status": None}), Phase.VALIDATING, id="batch made, state not told"),
        pytest.param(build.submitted("validating"), Phase.VALIDATING, id="validating"),
        pytest.param(build.submitted("in_progress"), Phase.IN_PROGRESS, id="in progress"),
        pytest.param(build.submitted("unheard_of"), Phase.IN_PROGRESS, id="a state that nobody knows: still going"),
        pytest.param(build.submitted("finalizing"), Phase.FINALIZING, id="finalizing"),
        pytest.param(build.submitted("cancelling"), Phase.CANCELLING, id="cancelling"),
        *(pytest.param(build.submitted(end), Phase.COLLECTING, id=end) for end in sorted(lifecycle.ENDED)),
        pytest.param(build.stored(), Phase.CLEANING_UP, id="results stored"),
        pytest.param(build.ended("Complete"), Phase.COMPLETE, id="Complete"),
        pytest.param(build.ended("Failed"), Phase.FAILED, id="Failed"),
    ],
)
def test_the_phase_follows_from_the_facts(status: BatchJobStatus, expected: Phase) -> None:
    assert lifecycle.phase_of(status, deleting=False, uploading=False) == expected
    assert lifecycle.phase_of(status, deleting=True, uploading=False) == Phase.DELETING


def test_an_upload_under_way_shows_only_until_its_answer_is_known() -> None:
    assert lifecycle.phase_of(build.status(), deleting=False, uploading=True) == Phase.UPLOADING
    assert lifecycle.phase_of(build.uploaded(), deleting=False, uploading=True) == Phase.SUBMITTING


# --- of a job with several batches ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("before", "after"), list(itertools.product(Phase, Phase)))
def test_a_job_with_parts_is_anywhere_its_least_advanced_batch_is_until_all_results_are_stored(
    before: Phase, after: Phase
) -> None:
    of_batches = before in lifecycle.OF_A_BATCH and after in lifecycle.OF_A_BATCH
    further = {
        (Phase.COLLECTING, Phase.CLEANING_UP),
        (Phase.CLEANING_UP, Phase.COMPLETE),
        (Phase.CLEANING_UP, Phase.FAILED),
    }
    deleted = after is Phase.DELETING
    if before == after or of_batches or deleted or (before, after) in further:
        of_job.check_move(before, after)
    else:
        with pytest.raises(lifecycle.IllegalMoveError, match=f"with parts can't go from {before} to {after}"):
            of_job.check_move(before, after)


@pytest.mark.parametrize("phase", Phase)
def test_a_restored_job_with_parts_may_start_anywhere(phase: Phase) -> None:
    of_job.check_move(None, phase)


def test_both_lifecycles_are_drawn() -> None:
    drawn = of_job.diagram()
    assert all(str(phase) in drawn for phase in Phase if phase is not Phase.DELETING)
    assert drawn in diagram.PAGE.read_text(encoding="utf-8")
