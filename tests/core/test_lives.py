"""Whole lives of a BatchJob: submit, crash, come back, adopt, finish; and random ones."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from llmbatch.api.batchjob_status import Phase
from llmbatch.api.reasons import Reason
from llmbatch.batch.pure import lifecycle
from llmbatch.batch.pure.observation import FileState
from llmbatch.transfer.pure.report import Problem
from tests.support.answers import QUIET, Answers
from tests.support.duplicates import surplus
from tests.support.world import World


def ended(world: World) -> bool:
    return world.status.has_ended


def reason(world: World) -> str:
    ready = world.status.condition("Ready")
    return ready.reason if ready is not None else ""


def run_to_batch(world: World) -> World:
    world.until(lambda it: it.status.phase is Phase.VALIDATING)
    return world


def finish(world: World, answers: Answers = QUIET) -> World:
    world.provider_says("completed")
    world.until(ended, answers)
    return world


def test_a_job_runs_from_its_creation_to_its_end() -> None:
    world = run_to_batch(World())
    world.provider_says("in_progress")
    world.look()
    world.provider_says("finalizing")
    world.look()
    finish(world)
    assert world.phases == [
        Phase.PENDING,
        Phase.UPLOADING,
        Phase.SUBMITTING,
        Phase.VALIDATING,
        Phase.IN_PROGRESS,
        Phase.FINALIZING,
        Phase.COLLECTING,
        Phase.CLEANING_UP,
        Phase.COMPLETE,
    ]
    assert world.told == ["AddFinalizer", "Upload", "Submit", "Collect", "FindDuplicates", "Finish"]
    assert (world.files, world.creates, reason(world)) == (set(), 1, Reason.SUCCEEDED)
    world.look()
    assert not world.finalizer, "an ended job needs nothing of us, so that its deletion doesn't wait"


def test_a_retained_file_stays() -> None:
    world = finish(run_to_batch(World(remote_files="Retain")))
    assert world.files == {"file-in", "file-out"}


def test_a_crash_before_the_intent_changes_nothing() -> None:
    world = World()
    world.until(lambda it: it.status.phase is Phase.SUBMITTING)
    world.look(Answers(crash="before the intent"))
    assert (world.creates, world.status.summary.submission) == (0, None)
    finish(run_to_batch(world))
    assert world.creates == 1


def test_a_crash_after_the_call_is_followed_by_a_look_up_and_adoption() -> None:
    world = World()
    world.until(lambda it: it.status.phase is Phase.SUBMITTING)
    world.look(Answers(crash="after the call"))
    finish(run_to_batch(world))
    assert (world.creates, world.told.count("LookUp"), len(world.remote)) == (1, 1, 1)


def test_a_call_that_never_arrived_is_repeated_only_after_the_settle_period() -> None:
    world = World()
    world.until(lambda it: it.status.phase is Phase.SUBMITTING)
    world.look(Answers(create="lost before"))
    world.passes(100)
    world.look()
    world.look()
    assert (world.creates, world.told[-2:]) == (1, ["LookUp", "LookUp"])
    world.passes(30)
    finish(run_to_batch(world))
    assert (world.creates, world.status.summary.attempts) == (2, 2)


def test_without_a_list_a_lost_answer_needs_a_person_and_goes_on_with_the_annotation() -> None:
    world = World(lists_batches=False)
    world.until(lambda it: it.status.phase is Phase.SUBMITTING)
    world.look(Answers(create="lost before"))
    world.passes(10_000)
    world.look()
    assert (reason(world), world.status.holds("Stalled")) == (Reason.SUBMISSION_UNKNOWN, True)
    world.resubmit = "3"
    world.look()
    assert world.creates == 1, "the annotation names another attempt"
    world.resubmit = "2"
    finish(run_to_batch(world))
    assert (world.creates, world.status.summary.attempts) == (2, 2)


def test_a_refused_create_call_fails_the_job_and_its_file_is_deleted() -> None:
    world = World()
    world.until(ended, Answers(create="refused"))
    assert (reason(world), world.creates, world.files) == (Reason.REQUEST_REFUSED, 1, set())


def test_a_rate_limited_create_call_is_the_same_attempt_again() -> None:
    world = World()
    world.until(lambda it: it.creates == 3, Answers(create="not made"))
    finish(run_to_batch(world))
    assert (world.status.summary.attempts, world.creates, len(world.remote)) == (1, 4, 1)


def test_an_upload_is_tried_again_after_a_problem() -> None:
    world = World()
    away = Problem(reason=Reason.GATEWAY_UNREACHABLE, message="away")
    world.until(lambda it: it.told.count("Upload") == 2, Answers(upload=away))
    finish(run_to_batch(world))
    assert reason(world) == Reason.SUCCEEDED


def test_an_invalid_input_fails_the_job_at_once() -> None:
    world = World()
    world.until(ended, Answers(upload=Problem(reason=Reason.INVALID_INPUT, message="line 1", final=True)))
    assert (reason(world), world.told.count("Upload"), world.creates) == (Reason.INVALID_INPUT, 1, 0)


def test_a_batch_that_the_provider_refuses_fails_the_job() -> None:
    world = run_to_batch(World())
    world.provider_says("failed")
    world.until(ended)
    assert (reason(world), "Collect" in world.told, world.files & {"file-in"}) == (Reason.BATCH_FAILED, False, set())


def test_an_expired_batch_fails_but_its_results_are_kept() -> None:
    world = run_to_batch(World())
    world.provider_says("expired")
    world.until(ended, Answers(completed=3))
    assert (reason(world), world.destination, world.status.holds("Failed")) == (Reason.BATCH_EXPIRED, 3, True)


def test_results_that_have_no_room_stay_until_the_spec_names_another_place() -> None:
    world = run_to_batch(World())
    world.provider_says("completed")
    full = Answers(collect=Problem(reason=Reason.OUTPUT_TOO_LARGE, message="2 MiB"))
    world.until(lambda it: reason(it) == Reason.OUTPUT_TOO_LARGE, full)
    collected = world.told.count("Collect")
    world.look(full)
    world.look(full)
    assert world.told.count("Collect") == collected, "what is known not to fit is not downloaded again"
    assert "file-out" in world.files
    world.edit()
    world.until(ended)
    assert world.destination == 5


def test_remote_files_that_cannot_be_deleted_dont_keep_a_job_from_ending_for_ever() -> None:
    world = run_to_batch(World())
    world.provider_says("completed")
    world.until(lambda it: it.status.output is not None)
    away = Problem(reason=Reason.GATEWAY_UNREACHABLE, message="away")
    world.look(Answers(trouble=away))
    assert not ended(world)
    world.passes(301)
    world.look(Answers(trouble=away, delete_files=away))
    assert world.status.holds("Complete")


def test_a_deleted_job_cancels_its_batch_and_deletes_its_files() -> None:
    world = run_to_batch(World())
    world.delete()
    world.look()
    assert world.remote == {"batch-1": "cancelling"}
    world.provider_says("cancelled")
    world.until(lambda it: it.gone)
    assert (world.files, world.told[-3:]) == (set(), ["FindDuplicates", "DeleteFiles", "RemoveFinalizer"])


def test_a_deleted_job_looks_up_its_batch_before_it_lets_go() -> None:
    world = World()
    world.until(lambda it: it.status.phase is Phase.SUBMITTING)
    world.look(Answers(crash="after the call"))
    world.delete()
    world.look()
    world.look()
    assert world.remote == {"batch-1": "cancelling"}


# --- random lives ----------------------------------------------------------------------------------------------------

AWAY = Problem(reason=Reason.GATEWAY_UNREACHABLE, message="away")
PROBLEMS = st.sampled_from([
    AWAY,
    Problem(reason=Reason.RATE_LIMITED, message="slow down", retry_after_seconds=7),
    Problem(reason=Reason.GATEWAY_UNAUTHORIZED, message="401"),
    Problem(reason=Reason.CREDENTIALS_NOT_FOUND, message="no Secret"),
    Problem(reason=Reason.OUTPUT_EXISTS, message="not ours"),
    Problem(reason=Reason.TRANSFER_FAILED, message="out of memory"),
])  # fmt: skip
MAYBE = st.none() | PROBLEMS
ANSWERS = st.builds(
    Answers,
    trouble=st.none() | st.none() | PROBLEMS,
    create=st.sampled_from(["made", "made twice", "lost after", "lost before", "not made", "refused"]),
    upload=MAYBE | st.just(Problem(reason=Reason.INVALID_INPUT, message="line 1", final=True)),
    collect=MAYBE | st.just(Problem(reason=Reason.OUTPUT_TOO_LARGE, message="2 MiB")),
    completed=st.integers(0, 5),
    listing=MAYBE,
    delete_files=MAYBE,
    cancel=MAYBE,
    crash=st.sampled_from(["", "", "before the intent", "after the intent", "after the call", "before the status"]),
)


class RandomLife(RuleBasedStateMachine):
    """Whatever the world answers, and wherever the operator dies."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()

    @rule(answers=st.just(QUIET) | ANSWERS)
    def look(self, answers: Answers) -> None:
        """Illegal moves and statuses raise in here."""
        before, was = self.world.creates, self.world.status
        self.world.look(answers)
        assert self.world.creates <= before + 1, "more than one create call in a pass"
        if self.world.creates > before:
            assert was.summary.submission is None, "a create call while an answer is owed"

    @rule(seconds=st.sampled_from([1.0, 30.0, 150.0, 400.0]))
    def time_goes_by(self, seconds: float) -> None:
        self.world.passes(seconds)

    @rule(status=st.sampled_from(["in_progress", "finalizing", "cancelling", "odd", *sorted(lifecycle.ENDED)]))
    def provider_moves_on(self, status: str) -> None:
        order = ["validating", "in_progress", "odd", "finalizing", "cancelling"]
        for old in self.world.remote.values():
            if status in order and old in order and order.index(status) < order.index(old):
                return  # a batch never goes back
        self.world.provider_says(status)

    @rule(state=st.sampled_from(list(FileState)), slot=st.booleans(), lists=st.booleans())
    def circumstances_change(self, state: FileState, slot: bool, lists: bool) -> None:
        self.world.file_state, self.world.slot_free, self.world.lists_batches = state, slot, lists

    @precondition(lambda self: self.world.deleted_at is None)
    @rule()
    def somebody_edits_the_spec(self) -> None:
        self.world.edit()

    @precondition(lambda self: len(self.world.phases) > 3)
    @rule()
    def somebody_deletes_it(self) -> None:
        self.world.delete()

    @invariant()
    def one_batch_at_a_time(self) -> None:
        assert not surplus(self.world), "two batches are paid for"

    @invariant()
    def the_end_tells_the_truth(self) -> None:
        world = self.world
        if world.status.holds("Complete"):
            assert world.destination, "Complete, but nothing is in the destination"
        results = any(status in ("completed", "expired", "cancelled") for status in world.remote.values())
        if ended(world) and results:
            assert world.status.output is not None, "it ended without the results there were"
        if world.deleted_at is None and not ended(world) and results:
            assert "file-out" in world.files or world.status.output, "results were deleted before they were stored"

    def teardown(self) -> None:
        """Whatever has happened: in a world that has calmed down the job comes to its end."""
        world = self.world
        world.file_state, world.slot_free, world.lists_batches, world.transferring = FileState.USABLE, True, True, None
        world.passes(400)
        for _ in range(12):
            ending = world.look()
            world.passes(max(130.0, min(getattr(ending, "after", None) or 1.0, 1000.0)))
            if world.status.phase in (Phase.VALIDATING, Phase.IN_PROGRESS, Phase.FINALIZING, Phase.CANCELLING):
                world.provider_says("cancelled" if world.deleted_at else "completed")
        assert not surplus(world), "a batch is left running"
        stalled = world.status.condition("Stalled")
        if stalled is not None and stalled.reason == Reason.OUTPUT_TOO_LARGE:
            return
        assert world.gone or ended(world), f"it hangs: {world.told} {world.status.dump()}"


TestRandomLife = RandomLife.TestCase
TestRandomLife.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
