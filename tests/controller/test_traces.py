"""The log: one line tells of a call to the gateway, by whose id the gateway's own logs tell of it, and of which job it was."""

import json
import logging
from collections.abc import Iterator

import pytest

from llmbatch.api.reasons import Reason
from llmbatch.process.logs import JsonFormatter
from tests.controller.conftest import FIVE
from tests.controller.test_split import SMALL, split_job
from tests.emulator.client import Instance
from tests.support.apiserver import ApiServer
from tests.support.inprocess import Operator, apply_all


class Lines(logging.Handler):
    """What is written about calls to gateways, as it stands in the log."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.setFormatter(JsonFormatter())
        self.found: list[dict[str, object]] = []

    def emit(self, record: logging.LogRecord) -> None:
        # At once, as the operator's own handler does: what is being worked on is told by the moment.
        self.found.append(json.loads(self.format(record)))

    def of(self, operation: str) -> list[dict[str, object]]:
        return [line for line in self.found if line.get("operation") == operation]


@pytest.fixture
def lines() -> Lines:
    return Lines()


@pytest.fixture(autouse=True)
def _listening(lines: Lines) -> Iterator[None]:
    calls = logging.getLogger("llmbatch.provider.edge.trace")
    calls.addHandler(lines)
    calls.setLevel(logging.INFO)
    yield
    calls.setLevel(logging.NOTSET)
    calls.removeHandler(lines)


async def test_each_call_that_makes_something_is_told_with_job_and_the_gateways_id(
    operator: Operator, api: ApiServer, kong: Instance, lines: Lines
) -> None:
    apply_all(api, kong, FIVE)
    await operator.until_reason(Reason.VALIDATING)
    await operator.quiet()
    ids = {call["operation"]: call["request_id"] for call in kong.calls()}
    for operation, made in (("upload file", "files.create"), ("create batch", "batches.create")):
        (line,) = lines.of(operation)
        assert line["object"] == "BatchJob/team-a/job"
        assert (line["part"], line["attempt"]) == (0, 1)
        assert line["x_kong_request_id"] == ids[made]
        assert str(line["code"]).startswith("2")
    assert lines.of("get batch") == [], "what is only looked at, and well, is looked at often"


async def test_a_line_tells_of_which_part_and_batch_it_is(
    operator: Operator, api: ApiServer, kong: Instance, lines: Lines
) -> None:
    apply_all(api, kong, FIVE, split_job(), **SMALL)
    await operator.until(lambda: sum(batch.id is not None for batch in operator.status().batches) == 3)
    assert sorted(str(line["part"]) for line in lines.of("create batch")) == ["0", "1", "2"]
    api.remove("batchjobs", "job")
    await operator.until_gone()
    cancelled = {(line["part"], line["batch"]) for line in lines.of("cancel batch")}
    made = [item["id"] for item in kong.batches()]
    assert {batch for _, batch in cancelled} == set(made)
    assert {part for part, _ in cancelled} == {0, 1, 2}


async def test_a_failed_call_is_told_whatever_it_was(
    operator: Operator, api: ApiServer, kong: Instance, lines: Lines
) -> None:
    kong.fault("status", "batches.get", status=503, times=1)
    apply_all(api, kong, FIVE)
    await operator.until(lambda: lines.of("get batch"))
    assert lines.of("get batch")[0]["code"] == "503"
