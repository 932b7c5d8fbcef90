"""What counts as news in a message, and what changes each time that it is said."""

from datetime import UTC, datetime
from typing import Any

import pytest

from llmbatch.api.batch_status import Batch, State
from llmbatch.api.batchjob_status import BatchJobStatus, Phase
from llmbatch.api.conditions import Condition
from llmbatch.api.reasons import Reason
from llmbatch.job.pure.steady import in_other_words, same

CALL = "list files: kong-1.example:8443 answered 503 "


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param("(Rate limit; retry after 7 seconds)", "(Rate limit; retry after 1 second)", id="seconds to wait"),
        pytest.param("(retry in 1m30s)", "(retry in 2.5s)", id="a duration"),
        pytest.param("(request req_011CQ7Zk3)", "(request req_99fGhTzz1)", id="a request's id"),
        pytest.param(
            "(id 3f0c9d1e-0000-4000-8000-00000000000a)", "(id 9a0c9d1e-1111-4000-8000-000000000001)", id="a UUID"
        ),
        pytest.param("(trace deadbeefcafe)", "(trace 00aabbccddee)", id="hexadecimal digits"),
        pytest.param("(from 10.0.0.1:5234)", "(from 10.0.0.2:80)", id="an address"),
        pytest.param("(at 2026-11-25T22:10:01Z)", "(at 2026-11-25T22:10:09Z)", id="a moment"),
        pytest.param("(Tue, 25 Nov 2026 22:10:01 GMT)", "(Wed, 26 Nov 2026 02:10:01 GMT)", id="an HTTP date"),
        pytest.param("(used 51234 of 100000 tokens)", "(used 99 of 100000 tokens)", id="a counter"),
        pytest.param("(code Error12)", "(code Error13)", id="a code with a number"),
    ],
)
def test_what_changes_each_time_is_no_news(one: str, other: str) -> None:
    assert same(CALL + one, CALL + other)
    assert same(f"BatchGateway kong is not ready: {CALL}{one}", f"BatchGateway kong is not ready: {CALL}{other}")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(CALL + "(bad gateway)", CALL + "(no such route)", id="other words"),
        pytest.param(CALL, "list batches: kong-1.example:8443 answered 503 ", id="another call"),
        pytest.param(CALL, "list files: kong-2.example:8443 answered 503 ", id="another gateway"),
        pytest.param("Secret t/creds-1 does not exist", "Secret t/creds-2 does not exist", id="a name of the user's"),
        pytest.param("the input has 5 lines", "the input has 6 lines", id="a number of ours"),
        pytest.param(
            "Remote file file-1 can't be deleted yet: delete file: h x",
            "Remote file file-2 can't be deleted yet: delete file: h x",
            id="a file of ours",
        ),
    ],
)
def test_what_is_news(one: str, other: str) -> None:
    assert not same(one, other)


def _told(reason: Reason, message: str, *, state: str = "", **given: Any) -> BatchJobStatus:
    moment = datetime(2026, 3, 1, 12, tzinfo=UTC)
    ready = Condition(
        type="Ready",
        status="Unknown",
        observed_generation=1,
        last_transition_time=moment,
        reason=reason,
        message=message,
    )
    place = State(phase="Uploading", status="Unknown", reason=reason, message=state or message, since_time=moment)
    return BatchJobStatus(phase=Phase.UPLOADING, conditions=[ready], batches=[Batch(part=0, state=place)], **given)


BEGUN = _told(Reason.UPLOADING, "The input is being uploaded.")


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        pytest.param(_told(Reason.UPLOADING, "The transfer Job does."), True, id="the same in other words"),
        pytest.param(_told(Reason.COLLECTING, "The input is being uploaded."), False, id="another reason"),
        pytest.param(_told(Reason.UPLOADING, "The transfer Job does.", progress="1%"), False, id="progress beside it"),
        pytest.param(
            _told(Reason.UPLOADING, "…").model_copy(update={"batches": [Batch(part=0, id="b")]}), False, id="a batch"
        ),
    ],
)
def test_other_words_for_what_goes_well_are_no_news(after: BatchJobStatus, expected: bool) -> None:
    assert in_other_words(BEGUN, after) is expected


def test_other_words_for_what_is_in_the_way_are_news() -> None:
    before, after = (_told(Reason.GATEWAY_UNREACHABLE, words) for words in ("no answer", "connection refused"))
    assert not in_other_words(before, after)
