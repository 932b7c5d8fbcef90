"""A BatchGateway's status says whether it can be used, and if not, whether a person must act."""

import pytest

from llmbatch.api.reasons import Reason
from llmbatch.job.pure import trouble
from tests.controller.conftest import FIVE
from tests.emulator.client import Instance
from tests.support import build
from tests.support.apiserver import ApiServer
from tests.support.inprocess import Json, Operator, apply_all

KEY = [{"name": "apikey", "valueFrom": {"secretKeyRef": {"name": "missing", "key": "apikey"}}}]


def said(api: ApiServer) -> dict[str, Json]:
    found = api.get("batchgateways", "kong") or {}
    return {item["type"]: item for item in found.get("status", {}).get("conditions") or []}


@pytest.mark.parametrize(
    ("fault", "reason", "kind"),
    [
        pytest.param({"status": 503, "as_": "kong"}, Reason.GATEWAY_UNREACHABLE, "Reconciling", id="503"),
        pytest.param({"status": 429, "as_": "kong"}, Reason.RATE_LIMITED, "Reconciling", id="429"),
        pytest.param({"status": 401, "as_": "kong"}, Reason.GATEWAY_UNAUTHORIZED, "Stalled", id="401"),
        pytest.param({"status": 404, "as_": "kong"}, Reason.ROUTE_NOT_FOUND, "Stalled", id="404"),
        pytest.param({"status": 301, "as_": "empty"}, Reason.NOT_A_BATCH_API, "Stalled", id="301"),
        pytest.param({"status": 426, "as_": "empty"}, Reason.NOT_A_BATCH_API, "Stalled", id="426"),
        pytest.param({"status": 200, "as_": "text"}, Reason.NOT_A_BATCH_API, "Stalled", id="200 of something else"),
    ],
)
async def test_it_says_whether_a_person_must_act_and_jobs_pay_nothing_meanwhile(
    operator: Operator, api: ApiServer, kong: Instance, *, fault: dict[str, object], reason: Reason, kind: str
) -> None:
    for operation in ("files.list", "batches.list"):
        kong.fault("status", operation, times=-1, **fault)
    apply_all(api, kong, FIVE)
    await operator.until(lambda: operator.gateway_reason() == reason, None)
    await operator.until_reason(reason)
    assert said(api).keys() == {"Ready", kind}
    assert {item["reason"] for item in said(api).values()} == {reason}
    assert said(api)["Ready"]["status"] == "False"
    assert operator.status().holds(kind)
    assert not [call for call in kong.calls() if call["operation"].endswith(".create")]
    kong.clear_faults()
    key = next(key for key in operator.runtime.cache.keys("BatchGateway"))
    await operator.runtime.gateways.suspect(key)
    await operator.until(lambda: operator.gateway_reason() == Reason.GATEWAY_READY, None)
    assert said(api).keys() == {"Ready"}


async def test_a_missing_credential_needs_a_person(operator: Operator, api: ApiServer, kong: Instance) -> None:
    api.put("batchgateways", build.batchgateway(kong.url, headers=KEY))
    await operator.until(lambda: operator.gateway_reason() == Reason.CREDENTIALS_NOT_FOUND, None)
    kind = "Reconciling" if trouble.passes(Reason.CREDENTIALS_NOT_FOUND) else "Stalled"
    assert said(api).keys() == {"Ready", kind}


async def test_one_route_alone_is_not_enough(operator: Operator, api: ApiServer, kong: Instance) -> None:
    kong.fault("status", "files.list", status=302, as_="empty", times=-1)
    api.put("batchgateways", build.batchgateway(kong.url))
    await operator.until(lambda: operator.gateway_reason() == Reason.NOT_A_BATCH_API, None)
    assert "filesPath answers 302" in said(api)["Ready"]["message"]


async def test_one_that_was_made_anew_under_its_name_gets_a_whole_status(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    api.put("batchgateways", build.batchgateway(kong.url))
    await operator.until(lambda: operator.gateway_reason() == Reason.GATEWAY_READY, None)
    await operator.quiet()
    # Before the watch tells of it, something changes that the status says.
    told, api.on_change[:] = list(api.on_change), []
    api.remove("batchgateways", "kong")
    api.put("batchgateways", build.batchgateway(kong.url))
    kong.fault("status", "batches.list", status=401, times=-1)
    (key,) = operator.runtime.cache.keys("BatchGateway")
    await operator.runtime.gateways.suspect(key)
    await operator.until(lambda: operator.gateway_reason() == Reason.GATEWAY_UNAUTHORIZED, None)
    status = (api.get("batchgateways", "kong") or {})["status"]
    assert {"activeBatches", "observedGeneration", "conditions"} <= status.keys()
    api.on_change[:] = told
