"""What is missing, refused or wrong: said with its reason, and gone on from by itself once it is mended."""

import io
import json
from pathlib import Path

import pytest

from llmbatch.api.reasons import Reason
from llmbatch.runtime.queue import Key
from tests.controller.conftest import FIVE, jsonl
from tests.emulator.client import Instance
from tests.support import build
from tests.support.apiserver import ApiServer
from tests.support.inprocess import NAMESPACE, Operator, apply_all, config_map, secret

CANARY = "canary-7f3a9"
KEY = [{"name": "apikey", "valueFrom": {"secretKeyRef": {"name": "consumer", "key": "apikey"}}}]


async def test_what_is_missing_may_come_later(operator: Operator, api: ApiServer, kong: Instance) -> None:
    api.put("batchjobs", build.batchjob())
    await operator.until_reason(Reason.GATEWAY_NOT_FOUND)
    api.put("batchgateways", build.batchgateway(kong.url, headers=KEY))
    await operator.until_reason(Reason.CREDENTIALS_NOT_FOUND)
    api.put("secrets", secret("consumer", other="x"))
    await operator.until(lambda: "no key 'apikey'" in json.dumps(operator.job()))
    api.put("secrets", secret("consumer", apikey="k"))
    await operator.until_reason(Reason.INPUT_NOT_FOUND)
    assert "ConfigMap team-a/prompts, which spec.input names, does not exist" in json.dumps(operator.job())
    api.put("configmaps", config_map("prompts", "other", FIVE))
    await operator.until(lambda: "has no key 'batch.jsonl'" in json.dumps(operator.job()))
    api.edit("configmaps", "prompts", {"data": {"batch.jsonl": FIVE.decode()}})
    await operator.until_reason(Reason.VALIDATING)


async def test_a_rotated_secret_is_seen_without_a_restart(operator: Operator, api: ApiServer, kong: Instance) -> None:
    kong.configure(kong={"consumer_keys": ["old"]})
    api.put("secrets", secret("consumer", apikey="old"))
    apply_all(api, kong, FIVE, headers=KEY)
    await operator.until_reason(Reason.VALIDATING)
    kong.configure(kong={"consumer_keys": ["new"]})
    await operator.until_reason(Reason.GATEWAY_UNAUTHORIZED)
    assert operator.status().holds("Stalled")
    api.put("secrets", secret("consumer", apikey="new"))
    await operator.until_reason(Reason.VALIDATING)
    kong.advance(3600)
    await operator.until_ended()


async def test_an_invalid_input_fails_the_job_and_names_its_lines(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    apply_all(api, kong, jsonl("a", "a") + b"{not json\n")
    status = await operator.until_ended()
    failed = status.condition("Failed")
    assert failed is not None
    assert failed.reason == Reason.INVALID_INPUT
    assert "line 2, custom_id" in failed.message
    assert "line 3" in failed.message
    assert not kong.calls("batches.create")


async def test_the_places_of_a_gateway_are_kept_and_handed_on(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    def job(name: str) -> dict[str, object]:
        return build.batchjob(name, output={"secret": {"name": name, "key": "r.jsonl"}})

    apply_all(api, kong, FIVE, job("a"), job("b"), job("c"), limits={"maxActiveBatches": 1})

    names = {"a", "b", "c"}
    for left in (2, 1, 0):
        await operator.until(
            lambda left=left: (  # type: ignore[misc]
                sum(operator.reason(name) == Reason.WAITING_FOR_SLOT for name in names) == left
                and any(operator.reason(name) == Reason.VALIDATING for name in names)
            ),
            None,
        )
        (running,) = (name for name in names if operator.reason(name) == Reason.VALIDATING)
        assert sum(batch["object"]["status"] == "validating" for batch in kong.batches()) == 1
        names.remove(running)
        kong.advance(3600)
        await operator.until_ended(running)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        pytest.param({"kind": "status", "status": 503, "as_": "kong"}, Reason.GATEWAY_UNREACHABLE, id="503 of Kong"),
        pytest.param({"kind": "reset_before"}, Reason.GATEWAY_UNREACHABLE, id="connection reset"),
        pytest.param({"kind": "status", "status": 404, "as_": "kong"}, Reason.ROUTE_NOT_FOUND, id="no such route"),
        pytest.param({"kind": "not_json"}, Reason.GATEWAY_UNREACHABLE, id="a login page in place of JSON"),
    ],
)
async def test_a_poll_that_fails_is_told_and_survived(
    operator: Operator, api: ApiServer, kong: Instance, fault: dict[str, object], reason: Reason
) -> None:
    apply_all(api, kong, FIVE)
    await operator.until(lambda: operator.status().summary.submission_time)
    kong.fault(str(fault.pop("kind")), "batches.get", times=-1, **fault)
    await operator.until_reason(reason)
    kong.clear_faults()
    kong.advance(3600)
    await operator.until_ended()
    assert operator.reason() == Reason.SUCCEEDED


async def test_a_batch_that_is_not_found_needs_a_look_and_loses_nothing(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    apply_all(api, kong, FIVE)
    await operator.until(lambda: operator.status().summary.submission_time)
    kong.fault("status", "batches.get", status=404, as_="azure", times=-1)
    await operator.until_reason(Reason.REMOTE_BATCH_NOT_FOUND)
    assert operator.status().holds("Stalled")
    kong.clear_faults()
    kong.advance(3600)
    await operator.until_ended()


async def test_a_file_that_is_processed_for_a_while_is_waited_for(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    kong.configure(file_pending_seconds=100)
    apply_all(api, kong, FIVE)
    await operator.until_reason(Reason.FILE_PENDING)
    assert not kong.calls("batches.create")
    kong.advance(200)
    await operator.until_reason(Reason.VALIDATING)


async def test_a_file_that_the_provider_rejects_fails_the_job(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    kong.configure(file_final_status="error", file_status_details="Too many lines.")
    apply_all(api, kong, FIVE)
    status = await operator.until_ended()
    failed = status.condition("Failed")
    assert failed is not None
    assert (failed.reason, "Too many lines." in failed.message) == (Reason.REMOTE_FILE_FAILED, True)


async def test_a_job_that_cannot_be_read_is_left_as_it_is(operator: Operator, api: ApiServer, kong: Instance) -> None:
    apply_all(api, kong, FIVE, build.batchjob(completionWindow="48h"))
    await operator.until_reason(Reason.INVALID_SPEC)
    await operator.quiet()
    assert operator.job()["status"]["conditions"][1]["type"] == "Stalled"
    assert "completionWindow" in operator.job()["status"]["conditions"][0]["message"]


async def test_an_api_server_that_fails_for_a_while_is_survived(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    api.fault("status", "get", "configmaps", times=2)
    api.fault("cut before", "get", "batchjobs", times=2)
    api.fault("status", "patch", "batchjobs", "status", times=1)
    apply_all(api, kong, FIVE)
    await operator.until(lambda: operator.status().summary.submission_time)
    kong.advance(3600)
    await operator.until_ended()
    assert len(kong.calls("batches.create")) == 1


async def test_no_secret_and_no_prompt_is_ever_told(
    api: ApiServer, kong: Instance, tmp_path: Path, logged: io.StringIO
) -> None:
    kong.configure(kong={"consumer_keys": [CANARY]})
    api.put("secrets", secret("consumer", apikey=f"{CANARY}-old"))
    async with Operator(api, tmp_path).running() as operator:
        apply_all(api, kong, jsonl("a", "b--status-400", prompt=f"My secret is {CANARY}"), headers=KEY)
        await operator.until_reason(Reason.GATEWAY_UNAUTHORIZED)
        api.put("secrets", secret("consumer", apikey=CANARY))
        kong.fault("reset_after", "batches.create")
        kong.fault("status", "batches.get", status=401, times=2)
        api.fault("status", "patch", "batchjobs", "status", times=2)
        await operator.until(lambda: operator.status().summary.submission_time)
        kong.advance(3600)
        await operator.until_ended()
    told = [found for found in api.stored if found["_plural"] in ("batchjobs", "batchgateways", "events", "jobs")]
    assert told
    assert CANARY not in json.dumps(told)
    assert CANARY not in logged.getvalue()
    assert logged.getvalue(), "there was something to log"


async def test_a_gateway_that_no_watch_has_told_of_yet_is_not_said_to_be_missing(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    apply_all(api, kong, FIVE)
    await operator.until_reason(Reason.VALIDATING)
    await operator.quiet()
    # A new leader hears of gateways and of jobs from two lists, of which either may be the first.
    operator.runtime.cache.drop(Key("BatchGateway", NAMESPACE, "kong"))
    kong.advance(120)
    await operator.until(lambda: operator.reason() != Reason.VALIDATING)
    assert operator.reason() == Reason.IN_PROGRESS


async def test_for_many_jobs_that_name_a_gateway_that_is_not_there_the_api_server_is_asked_for_it_now_and_then(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    names = [f"job-{number}" for number in range(60)]
    for name in names:
        api.put("batchjobs", build.batchjob_apart(name))
    await operator.until(lambda: all(operator.reason(name) == Reason.GATEWAY_NOT_FOUND for name in names), None)
    asked = [call for call in api.calls if (call.verb, call.plural) == ("get", "batchgateways")]
    # By those that are looked at together, and once more after some seconds on a busy machine.
    assert 1 <= len(asked) < len(names) / 2
    apply_all(api, kong, FIVE, build.batchjob_apart("another"))
    await operator.until(lambda: all(operator.status(name).summary.submission_time for name in names), None)
