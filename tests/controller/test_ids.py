"""Providers whose ids have any form: what a URL can hold is used, what none can hold is said once, and nothing is made twice."""

import pytest

from llmbatch.api import RESUBMIT_ANNOTATION
from llmbatch.api.reasons import Reason
from tests.controller.conftest import FIVE
from tests.emulator.client import Instance
from tests.support import build
from tests.support.apiserver import ApiServer
from tests.support.inprocess import Operator, apply_all
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


def ready(operator: Operator) -> str:
    found = operator.status().condition("Ready")
    return found.message if found is not None else ""


@pytest.mark.parametrize(
    "put", ["x" * 300, "y" * LONG, "projects:p=1:", "a~b+c,(d)!$'*&", "50%25"], ids=lambda value: value[:14]
)
async def test_ids_that_a_url_can_hold_are_used_whole(
    operator: Operator, api: ApiServer, kong: Instance, put: str
) -> None:
    async with Renaming(kong.url, files=put, batches=put).serving() as gateway:
        apply_all(api, kong, FIVE, url=gateway.url)
        await operator.until(lambda: operator.status().summary.submission_time)
        kong.advance(3600)
        status = await operator.until_ended()
        assert operator.reason() == Reason.SUCCEEDED
        (batch,) = status.batches
        named = (batch.id, batch.input_file_id, batch.output_file_id)
        assert all(found is not None and found.startswith(put) for found in named)
    assert len(kong.calls("files.create")) == len(kong.calls("batches.create")) == 1
    assert not [file for file in kong.files() if not file["deleted"]]


@pytest.mark.parametrize("put", UNUSABLE)
async def test_a_batch_whose_id_cant_be_used_is_never_taken_for_one_that_was_not_made(
    operator: Operator, api: ApiServer, kong: Instance, put: str
) -> None:
    async with Renaming(kong.url, batches=put).serving() as gateway:
        apply_all(api, kong, FIVE, url=gateway.url)
        await operator.until_reason(Reason.SUBMISSION_UNKNOWN)
        await operator.quiet()
    assert operator.status().holds("Stalled")
    assert operator.status().summary.submission is not None
    assert len(kong.calls("batches.create")) == 1
    assert "characters that no id may have" in ready(operator)


@pytest.mark.parametrize("hidden", ["no list", "not in the list"])
async def test_a_batch_whose_id_cant_be_used_is_not_submitted_again_where_no_list_shows_it(
    operator: Operator, api: ApiServer, kong: Instance, hidden: str
) -> None:
    kong.configure(list_supported=hidden != "no list", list_lag_seconds=10**6)
    async with Renaming(kong.url, batches="jobs/").serving() as gateway:
        apply_all(api, kong, FIVE, url=gateway.url)
        await operator.until_reason(Reason.SUBMISSION_UNKNOWN)
        assert "characters that no id may have" in ready(operator)
        # Far beyond the settle period of 0.3 s: by its age alone it would be given up.
        await operator.until(lambda: operator.status().summary.submission is not None)
        api.edit("batchjobs", "job", {"metadata": {"annotations": {RESUBMIT_ANNOTATION: "7"}}})
        await operator.quiet()
    assert len(kong.calls("batches.create")) == 1


@pytest.mark.parametrize("put", UNUSABLE)
async def test_a_file_whose_id_cant_be_used_ends_the_job_and_is_sent_once(
    operator: Operator, api: ApiServer, kong: Instance, put: str
) -> None:
    async with Renaming(kong.url, files=put).serving() as gateway:
        apply_all(api, kong, FIVE, url=gateway.url)
        status = await operator.until_ended()
    failed = status.condition("Failed")
    assert failed is not None
    assert failed.reason == Reason.UNUSABLE_ID
    assert "is left at the provider" in failed.message
    assert len(kong.calls("files.create")) == 1
    assert not kong.calls("batches.create")


@pytest.mark.parametrize(
    "spoilt", ['{"id": "", "object": "file"}', '{"object": "file"}', '{"id": null}', '{"id": ["a"]}']
)
async def test_an_answer_without_an_id_is_made_up_for_by_the_list(
    operator: Operator, api: ApiServer, kong: Instance, spoilt: str
) -> None:
    kong.fault("garbled", "files.create", message=spoilt)
    apply_all(api, kong, FIVE)
    await operator.until(lambda: operator.status().summary.submission_time)
    assert len(kong.calls("files.create")) == 1


async def test_an_answer_without_an_id_and_without_a_list_ends_the_job(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    kong.fault("garbled", "files.create", times=-1, message='{"id": "", "object": "file"}')
    kong.fault("status", "files.list", status=404, times=-1, skip=1)
    apply_all(api, kong, FIVE)
    await operator.until_ended()
    assert operator.reason() == Reason.UNUSABLE_ID
    assert len(kong.calls("files.create")) == 1


async def test_a_number_is_an_id_like_any_other(operator: Operator, api: ApiServer, kong: Instance) -> None:
    kong.fault("garbled", "files.create", message='{"id": 12345, "object": "file", "status": "processed"}')
    apply_all(api, kong, FIVE)
    await operator.until(lambda: kong.calls("batches.create"))
    assert kong.calls("batches.create")[0]["body"]["input_file_id"] == "12345"


async def test_results_under_an_id_that_cant_be_used_need_a_person_and_stay(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    apply_all(api, kong, FIVE)
    await operator.until(lambda: operator.status().summary.submission_time)
    async with Renaming(kong.url, files="out/").serving() as gateway:
        api.put("batchgateways", build.batchgateway(gateway.url))
        kong.advance(3600)
        await operator.until_reason(Reason.UNUSABLE_ID)
        await operator.quiet()
        assert operator.status().holds("Stalled")
        (batch,) = operator.status().batches
        assert str(batch.output_file_id).startswith("out/file-")
        assert len([file for file in kong.files() if not file["deleted"]]) == 2
        assert "by hand" in ready(operator)
