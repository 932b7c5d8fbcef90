"""What is sent again is read from the copy of the input at the provider: one that is odd for a while ends no retries."""

from collections.abc import Callable
from pathlib import Path

import pytest

from llmbatch.api.reasons import Reason
from tests.controller.conftest import jsonl
from tests.controller.test_ambiguity import reasons
from tests.controller.test_retries_faults import AGAIN, NAMES, succeeds
from tests.controller.test_split import made, split_job
from tests.emulator.client import Instance
from tests.support.apiserver import ApiServer
from tests.support.between import Between, Exchange
from tests.support.inprocess import Operator, apply_all


def gone(told: Exchange) -> None:
    told.status, told.json = 404, {"error": {"code": "not_found", "message": "No such file"}}


def cut_off(told: Exchange) -> None:
    told.body = told.body[: told.body.index(b"\n") + 1]


def doubled(told: Exchange) -> None:
    told.body *= 2


def empty(told: Exchange) -> None:
    told.body = b""


def page(told: Exchange) -> None:
    told.body = b"<html>Please log in.</html>"


def anothers(told: Exchange) -> None:
    told.body = jsonl("x", "y")


WAYS = pytest.mark.parametrize("way", [gone, cut_off, doubled, empty, page, anothers])


def copies(operator: Operator, way: Callable[[Exchange], None]) -> Callable[[Exchange], None]:
    """Serve the input of the first batch so."""

    def rule(told: Exchange) -> None:
        file_id = operator.batch().input_file_id
        if file_id and told.path == f"/files/{file_id}/content":
            way(told)

    return rule


async def ordered(operator: Operator, api: ApiServer, kong: Instance, between: Between) -> None:
    """Have the first batch made."""
    apply_all(api, kong, jsonl(*NAMES), split_job(backoffLimitPerRequest=1), url=between.url)
    await operator.until(lambda: len(made(operator)) == 1)


@WAYS
async def test_while_its_requests_are_judged(
    api: ApiServer, kong: Instance, between: Between, tmp_path: Path, way: Callable[[Exchange], None]
) -> None:
    # It is waited for half a minute.
    async with Operator(api, tmp_path, recheck_seconds=1.5).running() as operator:
        await ordered(operator, api, kong, between)
        between.rules.append(copies(operator, way))
        kong.advance(3600)
        await operator.until(lambda: between.spoilt and Reason.RESULTS_UNREADABLE in reasons(api))
        between.rules.clear()
        await succeeds(operator, api, kong)


@WAYS
async def test_while_it_is_read_what_is_sent_again(
    api: ApiServer, kong: Instance, between: Between, tmp_path: Path, way: Callable[[Exchange], None]
) -> None:
    # So long that it can be spoilt in between.
    async with Operator(api, tmp_path, request_retry_seconds=4).running() as operator:
        await ordered(operator, api, kong, between)
        kong.advance(3600)
        await operator.until(lambda: operator.batch().unfinished is not None)
        between.rules.append(copies(operator, way))
        await operator.until(lambda: between.spoilt > 1)
        assert len(made(operator)) == 1
        between.rules.clear()
        await succeeds(operator, api, kong)
    (sent,) = [call for call in kong.calls("files.create") if call["upload"]["bytes"] < len(jsonl(*NAMES))]
    assert sent["upload"]["bytes"] == len(jsonl(*AGAIN))


async def test_where_the_provider_gives_inputs_to_nobody_nothing_is_sent_again_and_the_job_ends(
    operator: Operator, api: ApiServer, kong: Instance, between: Between
) -> None:
    await ordered(operator, api, kong, between)
    between.rules.append(copies(operator, gone))
    kong.advance(3600)
    status = await operator.until_ended()
    assert operator.reason() == Reason.COMPLETED_WITH_FAILURES
    assert status.request_counts is not None
    assert (status.request_counts.completed, status.request_counts.failed) == (3, 2)
    assert len(made(operator)) == 1
