"""What is said of each batch stands in its entry; what earlier releases said of the job, who had one batch, is read so."""

import pytest

from llmbatch.api.batch_status import Summary, entries
from llmbatch.api.batchjob_status import BatchJobStatus
from tests.support.apistore import Json

INTENT: Json = {"attempt": 2, "intentTime": "2026-03-01T12:00:00Z"}
LATER: Json = {"attempt": 1, "intentTime": "2026-03-01T12:01:00Z"}
TRIES: Json = {"failures": 2, "unanswered": 1, "lastTime": "2026-03-01T12:00:00Z", "generation": 1}
FILE: Json = {"inputFileID": "file-in"}


@pytest.mark.parametrize(
    ("stored", "entry"),
    [
        pytest.param({"batches": [FILE], "submission": INTENT, "attempts": 2}, {**FILE, "submission": INTENT, "createCalls": 2}, id="an owed answer"),
        pytest.param({"submission": INTENT, "attempts": 2}, {"submission": INTENT, "createCalls": 2}, id="without a file"),
        pytest.param({"uploadTries": TRIES}, {"uploadTries": TRIES}, id="an upload that fails"),
        pytest.param({"attempts": 3}, {"createCalls": 3}, id="attempts alone"),
        pytest.param(
            {"batches": [{**FILE, "id": "batch-1"}], "attempts": 1, "submissionTime": "2026-03-01T12:00:00Z", "duplicatesCheckedTime": "2026-03-01T12:05:00Z"},
            {**FILE, "id": "batch-1", "createCalls": 1, "submissionTime": "2026-03-01T12:00:00Z", "duplicatesCheckedTime": "2026-03-01T12:05:00Z"},
            id="a batch",
        ),
        pytest.param(
            {"batches": [{**FILE, "createCalls": 1}], "submission": INTENT, "attempts": 2},
            {**FILE, "submission": INTENT, "createCalls": 2},
            id="an intent of an earlier release that works again",
        ),
        pytest.param(
            {"batches": [{**FILE, "submission": INTENT, "createCalls": 2}], "submission": LATER, "attempts": 1},
            {**FILE, "submission": INTENT, "createCalls": 2},
            id="an entry that says otherwise",
        ),
    ],
)  # fmt: skip
def test_what_is_said_of_the_job_alone_is_said_of_its_one_batch(stored: Json, entry: Json) -> None:
    status = BatchJobStatus.parse(stored)
    assert [batch.dump() for batch in status.batches] == [entry]
    assert entries(stored) == [entry]
    assert BatchJobStatus.parse(status.dump()) == status


@pytest.mark.parametrize(("stored", "readable"), [({"batches": "none"}, []), ({"batches": [1, FILE]}, [FILE])])
def test_a_status_that_can_not_be_read_is_left_to_the_model(stored: Json, readable: list[Json]) -> None:
    assert entries(stored) == readable
    with pytest.raises(ValueError, match="batches"):
        BatchJobStatus.parse({**stored, "attempts": 1})


def test_the_summary_tells_of_all_batches() -> None:
    several = [
        {**FILE, "createCalls": 2, "submission": LATER, "submissionTime": "2026-03-01T12:03:00Z"},
        {
            **FILE,
            "createCalls": 1,
            "submission": INTENT,
            "submissionTime": "2026-03-01T12:02:00Z",
            "uploadTries": TRIES,
        },
        {**FILE, "duplicatesCheckedTime": "2026-03-01T12:05:00Z"},
    ]
    assert BatchJobStatus.parse({"batches": several}).dump() == {
        "batches": several,
        "attempts": 3,
        "submission": INTENT,
        "submissionTime": "2026-03-01T12:02:00Z",
        "uploadTries": TRIES,
    }
    checked = [{**FILE, "duplicatesCheckedTime": f"2026-03-01T12:0{minute}:00Z"} for minute in (6, 5)]
    assert Summary.of(BatchJobStatus.parse({"batches": checked}).batches).dump() == {
        "duplicatesCheckedTime": "2026-03-01T12:05:00Z"
    }
    assert Summary.of([]).dump() == {}
