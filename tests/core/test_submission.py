"""Recognising our own batch."""

from datetime import datetime
from typing import Any

import pytest

from llmbatch.core.submission import horizon, is_newest_first, matches
from llmbatch.core.wire import Page, RemoteBatch
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
        pytest.param(remote(input_file_id="other"), False, id="made of another file"),
        pytest.param(remote(), False, id="without a word about itself"),
        pytest.param(remote(metadata={"llmbatch_uid": "other"}), False, id="with another uid"),
        pytest.param(remote(None, input_file_id="file-in"), True, id="of an unknown time"),
        pytest.param(remote(build.ago(599), input_file_id="file-in"), True, id="older than the intent by our clock"),
        pytest.param(
            remote(build.ago(9000), input_file_id="file-in"), True, id="made of our file, whatever the clocks say"
        ),
        pytest.param(
            remote(build.ago(601), metadata={"llmbatch_uid": build.UID}),
            False,
            id="with our uid, too old for any clock",
        ),
    ],
)
def test_which_batch_is_ours(batch: RemoteBatch, ours: bool) -> None:
    assert matches(batch, "file-in", build.UID, horizon(build.NOW)) == ours


def test_without_a_file_only_the_uid_counts() -> None:
    assert not matches(remote(), None, build.UID, horizon(build.NOW))


@pytest.mark.parametrize(
    ("ages", "expected"),
    [
        pytest.param([1, 2, 3], True, id="new to old"),
        pytest.param([3, 2, 1], False, id="old to new"),
        pytest.param([1, 3, 2], False, id="in no order"),
        pytest.param([2, 2, 2], False, id="all of one moment: not to be told"),
        pytest.param([1], False, id="one alone: not to be told"),
        pytest.param([], False, id="empty"),
        pytest.param([1, None, 3], True, id="one without a moment"),
    ],
)
def test_the_order_of_a_page(ages: list[float | None], expected: bool) -> None:
    batches = tuple(remote(None if age is None else build.ago(age)) for age in ages)
    assert is_newest_first(Page(batches=batches, has_more=True, last_id="b")) == expected
