"""Lines of the provider that fit no request: beside the results, counted in status, and the remote files stay."""

import pytest

from llmbatch.api.reasons import Reason
from tests.controller.conftest import jsonl
from tests.emulator.client import Instance
from tests.support import build
from tests.support.apiserver import ApiServer
from tests.support.inprocess import Operator, apply_all

PLACES = {"configMap": "configmaps", "secret": "secrets"}


@pytest.mark.parametrize("order", ["Input", "Completion"])
@pytest.mark.parametrize("place", PLACES)
async def test_a_strangers_line_in_place_of_a_missing_one_is_told(
    operator: Operator, api: ApiServer, kong: Instance, place: str, order: str
) -> None:
    job = build.batchjob(output={place: {"name": "results", "key": "r.jsonl"}, "order": order})
    apply_all(api, kong, jsonl("a", "b--stranger", "c--trimmed"), job)
    await operator.until(lambda: operator.status().summary.submission_time)
    kong.advance(3600)
    output = (await operator.until_ended()).output
    assert output is not None
    assert operator.reason() == Reason.COMPLETED_WITH_FAILURES
    assert (output.requests, output.missing_requests, output.foreign_requests) == (1, 2, 2)
    stored = api.data(PLACES[place], "results", "r.jsonl.foreign")
    assert output.foreign_location == f"{place.lower()}/results key r.jsonl.foreign"
    assert output.foreign_bytes == len(stored)
    assert b"nobody's" in stored
    assert not any(file["deleted"] for file in kong.files())
    assert ("Warning", Reason.REMOTE_FILES_RETAINED) in operator.events()


async def test_a_second_answer_alone_keeps_the_remote_files_too(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    apply_all(api, kong, jsonl("a", "b--twice"))
    await operator.until(lambda: operator.status().summary.submission_time)
    kong.advance(3600)
    await operator.until_ended()
    assert operator.reason() == Reason.SUCCEEDED
    ready = operator.status().condition("Ready")
    assert ready is not None
    assert "1 of the provider's lines fit no request" in ready.message
    assert not any(file["deleted"] for file in kong.files())
