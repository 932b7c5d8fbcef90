"""Lives of a BatchJob whose create call somebody on the way has repeated, or whose batch was found after its end."""

from llmbatch.api.batchjob_status import Phase
from llmbatch.api.reasons import Reason
from llmbatch.transfer.pure.report import Problem
from tests.core.test_lives import ended, finish, reason
from tests.support.answers import Answers
from tests.support.world import World


def made_twice() -> World:
    world = World()
    world.until(lambda it: it.status.phase is Phase.VALIDATING, Answers(create="made twice"))
    assert world.status.batches[0].id == "batch-2", "the client sees the answer to the second"
    return world


def test_of_two_batches_of_one_call_the_older_is_kept_once_the_settle_period_is_over() -> None:
    world = made_twice()
    world.look()
    assert "FindDuplicates" not in world.told, "another repeat may be under way"
    world.passes(130)
    world.look()
    assert (world.status.batches[0].id, world.remote["batch-2"]) == ("batch-1", "cancelling")
    world.remote["batch-2"] = "cancelled"
    finish(world)
    assert (reason(world), world.told.count("FindDuplicates")) == (Reason.SUCCEEDED, 1)


def test_a_crash_after_the_older_batch_was_taken_over_leaves_no_second_running() -> None:
    world = made_twice()
    world.passes(130)
    world.look(Answers(crash="before the status"))
    assert (world.status.batches[0].id, len(world.alive)) == ("batch-1", 2)
    world.look()
    assert world.remote == {"batch-1": "validating", "batch-2": "cancelling"}


def test_a_batch_that_ends_early_is_kept_and_the_other_one_is_cancelled() -> None:
    world = made_twice()
    world.remote["batch-2"] = "completed"
    world.until(ended)
    assert (world.status.batches[0].id, world.remote["batch-1"]) == ("batch-2", "cancelling")


def test_a_batch_of_no_use_gives_way_to_the_other() -> None:
    for status in ("failed", "cancelled"):
        world = made_twice()
        world.remote["batch-2"] = status
        world.look()
        assert (world.status.batches[0].id, world.status.phase) == ("batch-1", Phase.VALIDATING)
        assert reason(finish(world)) == Reason.SUCCEEDED


def test_a_failed_look_for_others_is_repeated_before_a_refusal_is_final() -> None:
    world = made_twice()
    world.remote["batch-2"] = "failed"
    away = Problem(reason=Reason.CLEANING_UP, message="away")
    world.look(Answers(listing=away))
    world.look(Answers(listing=away))
    assert (world.status.phase, ended(world)) == (Phase.COLLECTING, False)
    world.look()
    assert (world.status.batches[0].id, world.status.phase) == ("batch-1", Phase.VALIDATING)


def test_results_never_wait_for_a_list_that_fails() -> None:
    world = made_twice()
    away = Answers(listing=Problem(reason=Reason.CLEANING_UP, message="away"))
    world.passes(130)
    world.look(away)
    assert reason(world) == Reason.VALIDATING, "no noise"
    world.provider_says("completed")
    world.until(lambda it: it.status.output is not None, away)
    world.look(away)
    assert not ended(world)
    world.passes(301)
    world.look(away)
    assert ended(world)


def test_a_deleted_job_cancels_both_batches_of_one_call() -> None:
    world = made_twice()
    world.delete()
    world.look()
    world.remote["batch-2"] = "cancelled"
    world.until(lambda it: it.gone)
    assert (world.remote["batch-1"], world.told.count("FindDuplicates")) == ("cancelling", 1)


def test_a_batch_that_was_adopted_after_its_end_by_one_who_died_before_saying_so_has_its_results_stored() -> None:
    world = World()
    world.until(lambda it: it.status.phase is Phase.SUBMITTING)
    world.look(Answers(create="lost after"))
    world.provider_says("completed")
    world.look(Answers(crash="before the status"))
    assert (world.status.phase, world.status.batches[0].status) == (Phase.SUBMITTING, "completed")
    finish(world)
    assert world.creates == 1
