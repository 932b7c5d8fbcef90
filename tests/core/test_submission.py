"""Recognising our own batch."""

from datetime import datetime
from typing import Any

import pytest

from llmbatch.api.batch_status import MOST_REFUSED, MOST_REFUSED_CHARACTERS
from llmbatch.batch.pure.submission import by_use, horizon, is_newest_first, last_refused, matches, was_refused
from llmbatch.provider.pure.about import is_anothers
from llmbatch.provider.pure.wire import RemoteBatch
from tests.support import build


def remote(created: datetime | None = build.NOW, **given: Any) -> RemoteBatch:
    return RemoteBatch(**{"id": "b", "status": "in_progress", "metadata": {}, "created_at": created, **given})


@pytest.mark.parametrize(
    ("batch", "ours"),
    [
        pytest.param(remote(input_file_id="file-in"), True, id="made of our file"),
        pytest.param(remote(metadata={"llmbatch_uid": build.UID}), True, id="with our uid"),
        pytest.param(
            remote(input_file_id="other", metadata={"llmbatch_uid": build.UID}), True, id="of an older upload"
        ),
        pytest.param(remote(metadata={"llmbatch_uid": build.UID, "llmbatch_part": "0"}), True, id="of the same part"),
        pytest.param(
            remote(metadata={"llmbatch_uid": build.UID, "llmbatch_part": ""}), True, id="of a part left empty"
        ),
        pytest.param(remote(metadata={"llmbatch_uid": build.UID, "llmbatch_part": "1"}), False, id="of another part"),
        pytest.param(
            remote(input_file_id="file-in", metadata={"llmbatch_uid": build.UID, "llmbatch_part": "1"}),
            True,
            id="made of our file, whatever part it names",
        ),
        pytest.param(remote(input_file_id="other"), False, id="made of another file"),
        pytest.param(remote(), False, id="without a word about itself"),
        pytest.param(remote(metadata={"llmbatch_uid": "other"}), False, id="with another uid"),
        pytest.param(
            remote(input_file_id="file-in", metadata={"llmbatch_uid": "other"}),
            False,
            id="of our file, but somebody else's",
        ),
        pytest.param(
            remote(input_file_id="file-in", metadata={"llmbatch_uid": ""}), True, id="of our file, with an empty uid"
        ),
        pytest.param(remote(metadata={"llmbatch_uid": ""}), False, id="with an empty uid alone"),
        pytest.param(
            remote(build.ago(-899), metadata={"llmbatch_uid": build.UID}), True, id="by a clock ahead of ours"
        ),
        pytest.param(remote(None, input_file_id="file-in"), True, id="of an unknown time"),
        pytest.param(remote(build.ago(899), input_file_id="file-in"), True, id="older than the intent by our clock"),
        pytest.param(
            remote(build.ago(9000), input_file_id="file-in"), True, id="made of our file, whatever the clocks say"
        ),
        pytest.param(
            remote(build.ago(901), metadata={"llmbatch_uid": build.UID}),
            False,
            id="with our uid, too old for any clock",
        ),
    ],
)
def test_which_batch_is_ours(batch: RemoteBatch, ours: bool) -> None:
    assert matches(batch, "file-in", build.UID, "0", horizon(build.NOW)) == ours


def test_of_a_job_whose_parts_are_not_known_every_part_is_ours() -> None:
    other = remote(metadata={"llmbatch_uid": build.UID, "llmbatch_part": "1"})
    assert matches(other, "file-in", build.UID, None, horizon(build.NOW))


def test_without_a_file_only_the_uid_counts() -> None:
    assert not matches(remote(), None, build.UID, "0", horizon(build.NOW))


TEN = list(range(10))


@pytest.mark.parametrize(
    ("ages", "expected"),
    [
        pytest.param(TEN, True, id="new to old"),
        pytest.param([1, *TEN[1:]], True, id="some of one moment"),
        pytest.param(TEN[::-1], False, id="old to new"),
        pytest.param([*TEN[2:], 1, 0], False, id="in no order"),
        pytest.param([2] * 10, False, id="all of one moment: not to be told"),
        pytest.param(TEN[:9], False, id="a few: may be chance"),
        pytest.param([], False, id="empty"),
    ],
)
def test_the_order_of_a_list(ages: list[int], expected: bool) -> None:
    assert is_newest_first([build.ago(age) for age in ages]) == expected


@pytest.mark.parametrize(
    ("batches", "kept"),
    [
        pytest.param({"a": (1, "in_progress"), "b": (2, "validating")}, "b", id="the oldest"),
        pytest.param({"a": (1, "in_progress"), "b": (2, "failed")}, "a", id="a failed one is of no use"),
        pytest.param({"a": (1, "in_progress"), "b": (2, "cancelling")}, "a", id="nor one that is being cancelled"),
        pytest.param({"a": (1, "expired"), "b": (2, "cancelled")}, "a", id="nor a cancelled one"),
        pytest.param({"a": (1, "failed"), "b": (2, "failed")}, "b", id="unless no other lives"),
        pytest.param({"a": (1, "in_progress"), "r": (1, "in_progress")}, "r", id="of one moment: the recorded one"),
        pytest.param({"b": (1, "in_progress"), "a": (1, "in_progress")}, "a", id="else always the same"),
        pytest.param({"a": (None, "in_progress"), "b": (5, "in_progress")}, "b", id="a moment that isn't told is late"),
    ],
)
def test_which_batch_is_kept(batches: dict[str, tuple[int | None, str]], kept: str) -> None:
    found = [
        remote(None if age is None else build.ago(age), id=name, status=status)
        for name, (age, status) in batches.items()
    ]
    assert by_use(found, recorded="r", unknown=build.NOW)[0].id == kept


@pytest.mark.parametrize(
    ("told", "anothers"),
    [
        pytest.param({"input_file_id": "file-in"}, False, id="our file"),
        pytest.param({"metadata": {"llmbatch_uid": build.UID}, "input_file_id": "older"}, False, id="our uid"),
        pytest.param({"input_file_id": "file-in", "metadata": {"llmbatch_uid": "old"}}, False, id="of a restored job"),
        pytest.param({}, False, id="nothing told"),
        pytest.param({"input_file_id": "other"}, True, id="another file"),
        pytest.param({"metadata": {"llmbatch_uid": "other"}}, True, id="another uid"),
        pytest.param({"input_file_id": "other", "metadata": {"llmbatch_uid": "other"}}, True, id="both"),
    ],
)
def test_which_answer_is_about_another_batch(told: dict[str, Any], anothers: bool) -> None:
    assert is_anothers(remote(**told), "file-in", build.UID) is anothers


def test_of_more_refused_batches_than_status_holds_those_that_failed_are_known() -> None:
    refused = [f"batch-{number}" for number in range(MOST_REFUSED)]
    assert was_refused(remote(id="batch-3"), refused)
    assert was_refused(remote(id="older", status="failed"), refused)
    assert not was_refused(remote(id="older", status="cancelled"), refused)
    assert not was_refused(remote(id="older", status="failed"), refused[1:])


def test_of_long_ids_fewer_are_held_and_those_that_are_not_are_known_all_the_same() -> None:
    made = [f"{number:02d}{'x' * 298}" for number in range(64)]
    refused: list[str] = []
    for number, batch_id in enumerate(made):
        refused = last_refused([*refused, batch_id])
        assert all(was_refused(remote(id=known, status="failed"), refused) for known in made[: number + 1])
    assert sum(map(len, refused)) <= MOST_REFUSED_CHARACTERS
    assert refused == made[-len(refused) :]
    assert not was_refused(remote(id="another", status="failed"), made[:3])
