"""What a list tells of a batch under way: news, nothing new, or how it was before."""

from dataclasses import replace

import pytest

from llmbatch.api.batch_status import Batch
from llmbatch.api.counts import RequestCounts
from llmbatch.batch.directory.told import Told
from llmbatch.provider.pure.wire import Counts, RemoteBatch

RUNS = RemoteBatch(id="b", status="in_progress", counts=Counts(total=5, completed=2, failed=1), metadata={})
KNOWN = Told.by(RUNS)


@pytest.mark.parametrize(
    ("changed", "news"),
    [
        ({}, False),
        ({"counts": Counts(total=5, completed=3, failed=1)}, True),
        ({"counts": Counts(total=5, completed=1, failed=2)}, True),
        ({"status": "finalizing"}, True),
        ({"status": "completed"}, True),
        ({"status": "paused"}, True),
        ({"error_file_id": "file-e"}, True),
        # What is left out says nothing.
        ({"counts": Counts()}, False),
    ],
)
def test_it_is_news_when_something_is_said_that_is_not_known(changed: dict[str, object], news: bool) -> None:
    assert Told.by(replace(RUNS, **changed)).is_news(KNOWN) == news  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changed", "behind"),
    [
        ({}, False),
        ({"status": "validating"}, True),
        ({"counts": Counts(total=5, completed=1, failed=1)}, True),
        ({"counts": Counts()}, False),
        ({"status": "finalizing", "counts": Counts()}, False),
        ({"status": "cancelling"}, False),
        ({"status": "completed", "counts": Counts(total=5, completed=0, failed=0)}, False),
        ({"status": "paused"}, False),
    ],
)
def test_it_is_behind_when_a_batch_would_have_gone_back(changed: dict[str, object], behind: bool) -> None:
    assert Told.by(replace(RUNS, **changed)).is_behind(KNOWN) == behind  # type: ignore[arg-type]


def test_what_is_stored_is_known_as_if_it_had_been_told() -> None:
    counts = RequestCounts(total=5, completed=2, failed=1)
    assert Told.stored(Batch(id="b", status="in_progress", request_counts=counts)) == KNOWN
    assert Told.stored(Batch(id="b")) == Told("validating")
