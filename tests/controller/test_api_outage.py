"""An API server that is busy or out of order for a moment costs a line in the log; one that went back is believed."""

import io
import json
import threading
from typing import Any

import pytest

from llmbatch.api.reasons import Reason
from llmbatch.runtime.cache import BATCHJOB, Cache
from llmbatch.runtime.figures import Jobs
from llmbatch.runtime.metrics import Metrics
from llmbatch.runtime.queue import Key
from tests.controller.conftest import FIVE
from tests.emulator.client import Instance
from tests.support import build
from tests.support.apiserver import ApiServer
from tests.support.apistore import Json
from tests.support.inprocess import KINDS, NAMESPACE, Operator, apply_all

JOB = Key(BATCHJOB, NAMESPACE, "job")


def written_jobs(api: ApiServer) -> int:
    """Count the writes of BatchJobs; a gateway tells of its active batches a second later."""
    return sum(found["_plural"] == "batchjobs" for found in api.stored)


# Of a status write 500, 504 and 599 may be the word of a webhook, and are told as StatusRefused.
@pytest.mark.parametrize(
    ("verb", "status"),
    [
        *(("get", status) for status in (429, 500, 502, 503, 504, 599, 0)),
        *(("patch", status) for status in (429, 502, 503, 0)),
    ],
)
async def test_it_costs_no_write_and_no_trace(
    operator: Operator, api: ApiServer, kong: Instance, logged: io.StringIO, *, status: int, verb: Any
) -> None:
    apply_all(api, kong, FIVE)
    await operator.until_reason(Reason.VALIDATING)
    await operator.quiet()
    written = written_jobs(api)
    subresource = "status" if verb == "patch" else ""
    fault = api.fault(
        "status" if status else "cut before", verb, "batchjobs", subresource, status=status or 500, times=-1
    )
    kong.advance(120)
    logged.truncate(0)
    for _ in range(3):
        # A look is by what is known, unless something went otherwise than that led to expect.
        operator.runtime.cache.unsure(JOB)
        await operator.look()
        await operator.quiet()
    assert written_jobs(api) == written
    lines = [json.loads(line) for line in logged.getvalue().strip("\0").splitlines()]
    assert not [line for line in lines if "trace" in line or line["level"] == "error"]
    given_up = [line for line in lines if line["message"] == "a pass was given up"]
    assert 1 <= len(given_up) <= 3, "one line a pass"
    fault.times = 0
    await operator.until_reason(Reason.IN_PROGRESS)


async def test_the_api_servers_retry_after_is_honoured(operator: Operator, api: ApiServer, kong: Instance) -> None:
    apply_all(api, kong, FIVE)
    await operator.until_reason(Reason.VALIDATING)
    await operator.quiet()
    fault = api.fault("status", "get", "batchjobs", status=429, times=-1)
    fault.headers["Retry-After"] = "200"
    api.calls.clear()
    operator.runtime.cache.unsure(JOB)
    await operator.look()
    await operator.quiet()
    assert len([call for call in api.calls if (call.verb, call.plural) == ("get", "batchjobs")]) == 1
    assert operator.runtime.queue.planned(JOB) > 190


# --- a restored etcd -----------------------------------------------------------------------------------------------------


async def listed(operator: Operator, api: ApiServer, kind: str = "LISTED") -> None:
    for plural in ("batchgateways", "batchjobs"):
        for found in api.objects(plural):
            metadata = found["metadata"]
            await operator.runtime.news.changed(
                kind, Key(KINDS[plural], metadata["namespace"], metadata["name"]), found
            )


@pytest.mark.parametrize("kind", ["LISTED", "RESYNC"])
async def test_a_job_that_came_back_to_life_is_looked_at(
    operator: Operator, api: ApiServer, kong: Instance, kind: str
) -> None:
    apply_all(api, kong, FIVE, build.batchjob(remoteFiles="Retain"))
    await operator.until_reason(Reason.VALIDATING)
    await operator.quiet()
    backup = api.backup()
    kong.advance(3600)
    ended = await operator.until_ended()
    await operator.quiet()
    api.restore(backup)
    assert not operator.status().holds("Complete")
    await listed(operator, api, kind)
    await operator.until(lambda: operator.status().holds("Complete"))
    again = operator.status().output
    assert ended.output is not None
    assert again is not None
    assert again.sha256 == ended.output.sha256

    def version(found: Json | None) -> str:
        return str((found or {}).get("metadata", {}).get("resourceVersion"))

    # The watch tells of the last write a little later.
    await operator.until(lambda: version(operator.runtime.cache.get(JOB)) == version(operator.job()), None)
    assert len(kong.batches()) == 1


async def test_a_job_whose_old_status_comes_with_a_later_version_is_looked_at_too(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    apply_all(api, kong, FIVE)
    await operator.until_reason(Reason.VALIDATING)
    await operator.quiet()
    old = operator.job()
    kong.advance(3600)
    await operator.until_ended()
    await operator.quiet()
    version = str(int(operator.job()["metadata"]["resourceVersion"]) + 10)
    again = {**old, "metadata": {**old["metadata"], "resourceVersion": version}}
    depth = operator.runtime.queue.depth
    await operator.stop()
    await operator.runtime.news.changed("MODIFIED", JOB, again)
    assert operator.runtime.queue.depth == depth + 1


async def test_a_late_event_of_our_own_write_causes_no_look(operator: Operator, api: ApiServer, kong: Instance) -> None:
    apply_all(api, kong, FIVE)
    await operator.until_reason(Reason.VALIDATING)
    await operator.quiet()
    old = operator.job()
    kong.advance(3600)
    await operator.until_ended()
    await operator.quiet()
    await operator.stop()
    await operator.runtime.news.changed("MODIFIED", JOB, old)
    assert operator.runtime.queue.depth == 0


async def test_a_gateway_whose_spec_went_back_is_used_as_it_is_now(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    api.put("batchgateways", build.batchgateway(kong.url))
    await operator.until(lambda: operator.gateway_reason() == Reason.GATEWAY_READY, None)
    await operator.quiet()
    backup = api.backup()
    api.edit("batchgateways", "kong", {"spec": {"url": "http://127.0.0.1:1"}})
    await operator.until(lambda: operator.gateway_reason() == Reason.GATEWAY_UNREACHABLE, None)
    await operator.quiet()
    api.restore(backup)
    await listed(operator, api)
    await operator.quiet()
    held = operator.runtime.cache.get(Key("BatchGateway", NAMESPACE, "kong"))
    assert held is not None
    assert held["spec"]["url"] == kong.url
    assert operator.gateway_reason() == Reason.GATEWAY_READY


async def test_the_deletion_of_another_object_of_that_name_is_none(operator: Operator, kong: Instance) -> None:
    await operator.stop()
    key = Key("BatchGateway", NAMESPACE, "kong")
    for uid in ("old", "new"):
        made = build.batchgateway(kong.url)
        await operator.runtime.news.changed("ADDED", key, {**made, "metadata": {**made["metadata"], "uid": uid}})
    made = build.batchgateway(kong.url)
    await operator.runtime.news.changed("DELETED", key, {**made, "metadata": {**made["metadata"], "uid": "old"}})
    assert operator.runtime.cache.get(key) is not None


# --- a scrape ------------------------------------------------------------------------------------------------------------


def test_a_scrape_beside_deletions_fails_never() -> None:
    cache, metrics = Cache(), Metrics("0")
    metrics.tell(Jobs(lambda: cache.all_of(BATCHJOB)))
    keys = [Key(BATCHJOB, "team-a", f"job-{number}") for number in range(2000)]
    stop, errors = threading.Event(), []

    def scrape() -> None:
        while not stop.is_set():
            try:
                list(metrics.registry.collect())
                cache.active("team-a", "kong")
            except (KeyError, RuntimeError) as error:
                errors.append(error)
                return

    thread = threading.Thread(target=scrape)
    thread.start()
    for _ in range(20):
        for key in keys:
            cache.put(key, build.batchjob())
        for key in keys:
            cache.drop(key)
    stop.set()
    thread.join()
    assert errors == []
