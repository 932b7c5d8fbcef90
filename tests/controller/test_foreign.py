"""Lines of the provider that fit no request: beside the results, counted in status, and the remote files stay."""

import pytest

from llmbatch.api.reasons import Reason
from tests.controller.among import Among
from tests.controller.conftest import jsonl
from tests.support.apiserver import ApiServer
from tests.support.inprocess import Operator

PLACES = {"configMap": "configmaps", "secret": "secrets"}


@pytest.mark.parametrize("order", ["Input", "Completion"])
@pytest.mark.parametrize("place", PLACES)
async def test_a_strangers_line_in_place_of_a_missing_one_is_told(
    operator: Operator, api: ApiServer, among: Among, place: str, *, order: str
) -> None:
    job = among.job(output={place: {"name": "results", "key": "r.jsonl"}, "order": order})
    among.apply(api, jsonl("a", "b--stranger", "c--trimmed"), job=job)
    await among.submitted(operator)
    output = (await among.ended(operator)).output
    assert output is not None
    assert among.reason(operator) == Reason.COMPLETED_WITH_FAILURES
    assert (output.requests, output.missing_requests, output.foreign_requests) == (1 + len(among.whole()), 2, 2)
    stored = api.data(PLACES[place], "results", "r.jsonl.foreign")
    assert output.foreign_location == f"{place.lower()}/results key r.jsonl.foreign"
    assert output.foreign_bytes == len(stored)
    assert b"nobody's" in stored
    assert among.kept(operator)
    assert ("Warning", Reason.REMOTE_FILES_RETAINED) in operator.events()


async def test_a_second_answer_alone_keeps_the_remote_files_too(
    operator: Operator, api: ApiServer, among: Among
) -> None:
    among.apply(api, jsonl("a", "b--twice"))
    await among.submitted(operator)
    await among.ended(operator)
    assert among.reason(operator) == Reason.SUCCEEDED
    assert "1 of the provider's lines fit no request" in among.told(operator)
    assert among.kept(operator)
