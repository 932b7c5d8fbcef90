"""Reports as they are read: cut by the kubelet, written by somebody else, or to be shown on a terminal."""

import json
from typing import Any

import pytest

from llmbatch.api.batchjob_status import Failure
from llmbatch.api.reasons import Reason
from llmbatch.transfer.pure.report import CollectReport, Report, encoded, fitted
from llmbatch.transfer.pure.state import Ended, read
from tests.core.test_transfer_state import NOW, job, terminated
from tests.support import build

Json = dict[str, Any]

# --- pods with many containers, of whose messages the kubelet keeps 12 KiB together ----------------------------------------

FAILURES = [Failure(custom_id='"failures":[{' * 3, code="c" * 64, message="m" * 200) for _ in range(10)]


def cut_to(size: int, report: Report, containers: int) -> Json:
    """Make a pod of so many containers whose message was cut."""
    made = terminated(0, fitted(report).decode()[:size], "Completed")
    return {**made, "spec": {"containers": [{"name": "transfer"}, *({"name": "mesh"} for _ in range(containers - 1))]}}


@pytest.mark.parametrize("containers", range(1, 9))
def test_a_report_that_was_cut_among_its_examples_is_read(containers: int) -> None:
    whole = build.collect_report(total=20, completed=0, failures=FAILURES, missing=7, foreignRequests=3)
    size = min(4096, 12 * 1024 // containers)
    state = read(job("collect"), [cut_to(size, whole, containers)], [], NOW)
    assert isinstance(state, Ended)
    assert isinstance(state.report, CollectReport)
    assert state.report.failures == whole.failures[: len(state.report.failures)]
    assert (len(state.report.failures) == 10) == (containers <= 3)
    assert state.report.model_copy(update={"failures": []}) == whole.model_copy(update={"failures": []})


def test_a_report_that_was_cut_before_its_examples_is_none_and_says_why() -> None:
    whole = build.collect_report(total=20, completed=0, failures=FAILURES)
    for size in range(0, 100, 7):
        state = read(job("collect"), [cut_to(size, whole, 20)], [], NOW)
        assert isinstance(state, Ended)
        assert state.report is None
        assert state.problem is not None
        assert ("20 containers" in state.problem.message) == (size > 0)


CUTS = "5.ga.ga.1z.a"
FORGED = [
    pytest.param({"input": {**build.INPUT, "estimatedTokens": -(10**12)}}, id="fewer tokens than none"),
    pytest.param({"input": {**build.INPUT, "bytes": 10**300}}, id="more bytes than there are"),
    pytest.param({"cuts": "5.-ga.ga.1z.a"}, id="a part of less than nothing"),
    pytest.param({"cuts": ",".join([CUTS] * 101)}, id="more parts than there may be"),
    pytest.param({"cuts": "no parts"}, id="parts that can't be read"),
    pytest.param({"cuts": ""}, id="parts, but none"),
]


@pytest.mark.parametrize("told", FORGED)
def test_a_report_that_no_transfer_writes_is_none(told: Json) -> None:
    whole = {**build.upload_report().dump(), **told}
    state = read(job(), [terminated(0, json.dumps(whole), "Completed")], [], NOW)
    assert isinstance(state, Ended)
    assert state.report is None
    assert state.problem is not None
    assert state.problem.reason is Reason.TRANSFER_FAILED
    assert "-1000000000000" not in state.problem.message


@pytest.mark.parametrize("most", [4096, 700])
def test_nothing_in_a_report_steers_a_terminal(most: int) -> None:
    failures = [Failure(custom_id="a\x1b[2J", code="c\x07", message="\u202em\x9b" + "x" * 120)] * 5
    text = encoded(build.collect_report(total=20, completed=0, failures=failures).dump()).decode()
    state = read(job("collect"), [terminated(0, text[:most].replace("\x9b", "\\ud800"), "Completed")], [], NOW)
    assert isinstance(state, Ended)
    assert isinstance(state.report, CollectReport)
    assert {item.custom_id for item in state.report.failures} == {"a\ufffd[2J"}
    assert {item.code for item in state.report.failures} == {"c\ufffd"}
    assert {item.message[:3] for item in state.report.failures} == {"\ufffdm\ufffd"}


def test_nor_is_one_that_is_too_deep_to_be_read() -> None:
    state = read(job(), [terminated(0, "[" * 4000, "Completed")], [], NOW)
    assert isinstance(state, Ended)
    assert state.report is None


def test_one_with_as_many_parts_as_there_may_be_is() -> None:
    whole = {**build.upload_report().dump(), "cuts": ",".join([CUTS] * 100)}
    state = read(job(), [terminated(0, json.dumps(whole), "Completed")], [], NOW)
    assert isinstance(state, Ended)
    assert state.report is not None
