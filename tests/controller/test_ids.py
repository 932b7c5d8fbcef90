"""Providers whose ids have any form: what a URL can hold is used, what none can hold is said once, and nothing is made twice."""

from pathlib import Path

import pytest

from llmbatch.api import RESUBMIT_ANNOTATION
from llmbatch.api.reasons import Reason
from tests.controller.among import Among
from tests.controller.test_gone_results import ended
from tests.emulator.client import Instance
from tests.support import build
from tests.support.apiserver import ApiServer
from tests.support.between import Between, Exchange
from tests.support.inprocess import Operator
from tests.support.renaming import Renaming

UNUSABLE = [
    pytest.param("jobs/", id="a slash"),
    pytest.param("x" * 1025, id="too long"),
    pytest.param("a b", id="a space"),
    pytest.param("\u00fc", id="not ASCII"),
    pytest.param("%2e%2e%2f", id="an encoded way out"),
]
LONG = 1024 - len("batch_") - 36
"""So much before an id of the emulator makes 1,024 characters at most."""


@pytest.mark.parametrize(
    "put", ["x" * 300, "y" * LONG, "projects:p=1:", "a~b+c,(d)!$'*&", "50%25"], ids=lambda value: value[:14]
)
async def test_ids_that_a_url_can_hold_are_used_whole(
    operator: Operator, api: ApiServer, kong: Instance, among: Among, put: str
) -> None:
    async with Renaming(kong.url, files=put, batches=put, nth=among.nth).serving() as gateway:
        among.apply(api, url=gateway.url)
        await among.submitted(operator)
        await among.ended(operator)
        assert among.reason(operator) == Reason.SUCCEEDED
        batch = among.batch(operator)
        named = (batch.id, batch.input_file_id, *(() if among.several else (batch.output_file_id,)))
        assert all(found is not None and found.startswith(put) for found in named)
    assert len(among.uploads()) == len(among.creates()) == 1
    assert not [file for file in kong.files() if not file["deleted"]]


@pytest.mark.parametrize("put", UNUSABLE)
async def test_a_batch_whose_id_cant_be_used_is_never_taken_for_one_that_was_not_made(
    operator: Operator, api: ApiServer, kong: Instance, among: Among, put: str
) -> None:
    async with Renaming(kong.url, batches=put, nth=among.nth).serving() as gateway:
        among.apply(api, url=gateway.url)
        await among.until_reason(operator, Reason.SUBMISSION_UNKNOWN)
        await operator.quiet()
    assert operator.status().holds("Stalled")
    assert among.batch(operator).submission is not None
    assert len(among.creates()) == 1
    assert "characters that no id may have" in among.told(operator)


@pytest.mark.parametrize("hidden", ["no list", "not in the list"])
async def test_a_batch_whose_id_cant_be_used_is_not_submitted_again_where_no_list_shows_it(
    operator: Operator, api: ApiServer, kong: Instance, among: Among, hidden: str
) -> None:
    kong.configure(list_supported=hidden != "no list", list_lag_seconds=10**6)
    async with Renaming(kong.url, batches="jobs/", nth=among.nth).serving() as gateway:
        among.apply(api, url=gateway.url)
        await among.until_reason(operator, Reason.SUBMISSION_UNKNOWN)
        assert "characters that no id may have" in among.told(operator)
        # Far beyond the settle period of 0.3 s: by its age alone it would be given up.
        await operator.until(lambda: among.batch(operator).submission is not None)
        api.edit("batchjobs", "job", {"metadata": {"annotations": {RESUBMIT_ANNOTATION: among.call(7)}}})
        await operator.quiet()
    assert len(among.creates()) == 1


@pytest.mark.parametrize("put", UNUSABLE)
async def test_a_file_whose_id_cant_be_used_ends_the_job_and_is_sent_once(
    operator: Operator, api: ApiServer, kong: Instance, among: Among, put: str
) -> None:
    async with Renaming(kong.url, files=put, nth=among.nth).serving() as gateway:
        among.apply(api, url=gateway.url)
        await among.ended(operator)
    assert among.reason(operator) == Reason.UNUSABLE_ID
    assert "is left at the provider" in among.told(operator)
    assert len(among.uploads()) == 1
    assert not among.creates()


async def test_a_list_that_names_a_file_by_no_id_for_a_while_ends_no_job_and_nothing_is_sent_again(
    operator: Operator, api: ApiServer, among: Among, between: Between
) -> None:
    """The answer to the upload was lost; only the list can tell what the file is called."""

    def nameless(told: Exchange) -> None:
        if told.method == "GET" and told.path == "/files":
            page = told.json
            told.json = {**page, "data": [{**entry, "id": None} for entry in page["data"]]}

    between.rules.append(nameless)
    among.fault("reset_after", "files.create")
    among.apply(api, url=between.url)
    await among.until_reason(operator, Reason.UNUSABLE_ID)
    assert operator.status().holds("Stalled")
    assert not operator.status().has_ended
    between.rules.clear()
    await among.ended(operator)
    assert among.reason(operator) == Reason.SUCCEEDED
    assert len(among.uploads()) == 1


@pytest.mark.parametrize(
    "spoilt", ['{"id": "", "object": "file"}', '{"object": "file"}', '{"id": null}', '{"id": ["a"]}']
)
async def test_an_answer_without_an_id_is_made_up_for_by_the_list(
    operator: Operator, api: ApiServer, among: Among, spoilt: str
) -> None:
    among.fault("garbled", "files.create", message=spoilt)
    among.apply(api)
    await among.submitted(operator)
    assert len(among.uploads()) == 1


async def test_an_answer_without_an_id_and_without_a_list_ends_the_job(
    operator: Operator, api: ApiServer, kong: Instance, among: Among
) -> None:
    # Sent again, the third part's file would meet it too.
    among.fault("garbled", "files.create", times=1 if among.several else -1, message='{"id": "", "object": "file"}')
    kong.fault("status", "files.list", status=404, times=-1, skip=1)
    among.apply(api)
    await among.ended(operator)
    assert among.reason(operator) == Reason.UNUSABLE_ID
    assert len(among.uploads()) == 1


async def test_a_number_is_an_id_like_any_other(operator: Operator, api: ApiServer, among: Among) -> None:
    among.fault("garbled", "files.create", message='{"id": 12345, "object": "file", "status": "processed"}')
    among.apply(api)
    # A call is listed before its body is read.
    await operator.until(lambda: [call for call in among.creates() if call["body"] is not None])
    assert among.creates()[0]["body"]["input_file_id"] == "12345"


async def test_results_under_an_id_that_cant_be_used_need_a_person_and_stay(
    api: ApiServer, kong: Instance, among: Among, tmp_path: Path
) -> None:
    # Apart, so that nobody hears of the end by the way without the fault.
    async with Operator(api, tmp_path).running() as first:
        among.apply(api)
        await among.all_submitted(first)
    kong.advance(3600)
    async with Renaming(kong.url, files="out/").serving() as gateway:
        gateway.only = {ended(among)["output_file_id"]}
        api.put("batchgateways", build.batchgateway(gateway.url, **among.gateway()))
        async with Operator(api, tmp_path).running() as operator:
            await among.until_reason(operator, Reason.UNUSABLE_ID)
            await operator.quiet()
            assert operator.status().holds("Stalled")
            batch = among.batch(operator)
            assert str(batch.output_file_id).startswith("out/file-")
            assert len([file for file in kong.files() if not file["deleted"]]) == 2 * among.count
            assert "by hand" in among.told(operator)
            # Once the gateway names them otherwise, nobody is needed.
            gateway.only = set()
            await among.ended(operator)
            assert among.reason(operator) == Reason.SUCCEEDED
            assert len([file for file in kong.files() if not file["deleted"]]) == 0
