"""The doctor says of each thing whether it is well, and of what isn't what to do."""

import copy
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from llmbatch.api import crd
from llmbatch.cli.doctor import NEEDED
from tests.cli.conftest import Plugin, deployment
from tests.emulator.client import Instance
from tests.support import build
from tests.support.apiserver import ApiServer
from tests.support.apistore import Json
from tests.support.inprocess import Operator

NEVER = "https://kong.invalid"


def well(api: ApiServer, way: Json | None = None) -> None:
    """Make all that there is where everything is well; `way`: the BatchGateway, in place of a made-up one."""
    for definition in (crd.batchjob(), crd.batchgateway()):
        api.put("customresourcedefinitions", copy.deepcopy(definition))
    api.put("deployments", deployment({"LLMBATCH_LEASE_NAME": "llmbatch"}))
    renewed = api.now().isoformat()
    lease = {"holderIdentity": "llmbatch-1", "renewTime": renewed}
    api.put("leases", {"metadata": {"name": "llmbatch", "namespace": "llmbatch-system"}, "spec": lease})
    api.put("batchgateways", way or gateway())


def gateway(status: Json | None = None, **spec: Any) -> Json:
    """Make a BatchGateway that an operator has found ready."""
    ready = {"observedGeneration": 1, "conditions": [build.condition("Ready", "True", "Connected")]}
    return {**build.batchgateway(NEVER, **spec), "status": {**ready, **(status or {})}}


async def test_where_everything_is_well_each_line_says_so(api: ApiServer, plugin: Plugin) -> None:
    well(api)
    ran = await plugin("doctor")
    *lines, last = ran.text.splitlines()
    assert ran.code == 0, ran
    assert {line.split()[0] for line in lines} == {"ok"}
    assert last == "no problems in namespace team-a"
    for told in ("Kubernetes v1.33.0", "2 of 2 pods are ready", "llmbatch-1 works", "BatchGateway kong: Connected"):
        assert told in ran.text


async def test_a_gateway_that_the_operator_found_ready_is_well(
    operator: Operator, api: ApiServer, kong: Instance, plugin: Plugin
) -> None:
    well(api, build.batchgateway(kong.url))
    await operator.until(operator.gateway_reason, None)
    assert (await plugin("doctor")).code == 0


def without_a_field(api: ApiServer) -> None:
    found = copy.deepcopy(crd.batchjob())
    schema = found["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    del schema["properties"]["spec"]["properties"]["readyWhen"]
    api.put("customresourcedefinitions", found)


def with_another_field(api: ApiServer) -> None:
    found = copy.deepcopy(crd.batchjob())
    schema = found["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    schema["properties"]["spec"]["properties"]["later"] = {"type": "string"}
    api.put("customresourcedefinitions", found)


def full(api: ApiServer) -> None:
    status = {"hard": {"pods": "2", "secrets": "10"}, "used": {"pods": "2", "secrets": "1"}}
    api.put("resourcequotas", {"metadata": {"name": "small", "namespace": "team-a"}, "status": status})


def not_ready(api: ApiServer) -> None:
    ready = build.condition("Ready", "False", "GatewayUnauthorized", message="Correct the key.")
    api.put("batchgateways", gateway({"conditions": [ready]}))


def learned(api: ApiServer) -> None:
    told = {"learnedTokens": 500, "enqueuedTokens": 400, "queuedBatches": 3}
    api.put("batchgateways", gateway(told, limits={"maxEnqueuedTokens": 1000}))


def silent(api: ApiServer) -> None:
    old = (api.now() - timedelta(seconds=305)).isoformat()  # the answer tells the time in whole seconds
    api.edit("leases", "llmbatch", {"spec": {"renewTime": old}}, "llmbatch-system")


def elsewhere(api: ApiServer) -> None:
    api.put("deployments", deployment({"LLMBATCH_WATCH_NAMESPACES": "team-b,team-c"}))


PROBLEMS: list[tuple[str, Callable[[ApiServer], object], str]] = [
    ("the definitions are not there", lambda api: api.unserved.add("batchjobs"), "v1alpha1 is not served; install the chart"),
    ("they are of an older release", without_a_field, "has no spec.readyWhen, which llmbatch"),
    ("they are of a newer release", with_another_field, "has spec.later, which llmbatch"),
    ("no operator", lambda api: api.remove("deployments", "llmbatch", "llmbatch-system"), "no Deployment of it was found"),
    ("no operator here", elsewhere, "none works in namespace team-a; add it to the chart's watchNamespaces"),
    ("none that runs", lambda api: api.put("deployments", deployment({}, ready=0)), "0 of 2 pods are ready; kubectl describe"),
    ("none that leads", lambda api: api.remove("leases", "llmbatch", "llmbatch-system"), "no operator holds it"),
    ("a leader that is silent", silent, "llmbatch-1 has not renewed it for 30"),
    ("no gateway", lambda api: api.remove("batchgateways", "kong"), "there is none in namespace team-a; apply one"),
    ("a gateway that nobody saw", lambda api: api.put("batchgateways", gateway({"observedGeneration": 7})), "no operator has looked at it"),
    ("a gateway that is not ready", not_ready, "BatchGateway kong: GatewayUnauthorized: Correct the key."),
    ("a limit that is too high", learned, "set limits.maxEnqueuedTokens to what the provider really gives"),
    ("a quota that is used up", full, "ResourceQuota small: 2 of 2 pods are used; transfer pods"),
    ("a permission", lambda api: api.denied.add(("create", "batchjobs")), "you may not create batchjobs.llmbatch.io: needed for submit and retry; ask"),
    ("the way back", lambda api: api.denied.add(("delete", "configmaps")), "you may not delete configmaps: needed for submit"),
    ("a subresource", lambda api: api.denied.add(("get", "pods/exec")), "you may not get pods/exec: needed for results from a volume"),
]  # fmt: skip


@pytest.mark.parametrize(("break_it", "told"), [item[1:] for item in PROBLEMS], ids=[item[0] for item in PROBLEMS])
async def test_what_is_not_well_is_a_problem_with_a_remedy(
    break_it: Callable[[ApiServer], object], told: str, api: ApiServer, plugin: Plugin
) -> None:
    well(api)
    break_it(api)
    ran = await plugin("doctor")
    problems = [line for line in ran.text.splitlines() if line.startswith("problem")]
    assert ran.code == 1, ran
    assert any(told in line for line in problems), problems
    assert len(problems) == 1, "one cause, one line"
    assert ran.text.splitlines()[-1] == "1 problem in namespace team-a"


async def test_what_a_person_may_not_see_is_no_problem(api: ApiServer, plugin: Plugin) -> None:
    well(api)
    for verb, plural in (("list", "deployments"), ("get", "customresourcedefinitions"), ("list", "resourcequotas")):
        api.fault("status", verb, plural, status=403, times=-1)  # type: ignore[arg-type]  # each is a verb
    ran = await plugin("doctor")
    assert ran.code == 0, ran
    unseen = [line for line in ran.text.splitlines() if line.startswith("unseen")]
    assert len(unseen) == 2
    assert "unseen  operator: you may not list Deployments; whether it works shows at the BatchGateways" in unseen
    assert "v1alpha1 is served; you may not see whether it is the one of llmbatch" in ran.text


async def test_the_operator_is_looked_for_in_one_namespace_where_all_are_closed(api: ApiServer, plugin: Plugin) -> None:
    well(api)
    api.remove("deployments", "llmbatch", "llmbatch-system")
    api.put("deployments", deployment({}, namespace="batch"))
    api.put("leases", {**(api.get("leases", "llmbatch", "llmbatch-system") or {}), "metadata": {"name": "llmbatch", "namespace": "batch"}})  # fmt: skip
    closed = api.fault("status", "list", "deployments", status=403, times=-1)
    closed.fits = lambda call: (call.verb, call.plural, call.namespace) == ("list", "deployments", "")
    assert "no Deployment of it was found" in (await plugin("doctor")).text
    assert (await plugin("doctor", "--operator-namespace", "batch")).code == 0


async def test_the_operator_is_known_by_its_settings_whatever_labels_it_was_given(
    api: ApiServer, plugin: Plugin
) -> None:
    """`app.kubernetes.io/part-of` is what people set by the chart's commonLabels; others' operators are such components too."""
    well(api)
    labels = {"app.kubernetes.io/part-of": "platform", "app.kubernetes.io/component": "operator"}
    for found in (deployment({}), deployment({}, ready=0, namespace="others")):
        found["metadata"]["labels"] = labels
        if found["metadata"]["namespace"] == "others":
            found["spec"]["template"]["spec"]["containers"][0]["env"] = [{"name": "POD_NAME", "valueFrom": {}}]
        api.put("deployments", found)
    ran = await plugin("doctor")
    assert ran.code == 0, ran
    assert "Deployment llmbatch-system/llmbatch: 2 of 2 pods are ready" in ran.text
    assert "others" not in ran.text


async def test_an_api_server_that_does_not_answer_is_named(api: ApiServer, plugin: Plugin) -> None:
    api.fault("cut before", "list", "deployments", times=-1)
    ran = await plugin("doctor")
    assert ran.code == 2
    assert f"no answer from the API server {api.url}" in ran.err


def test_it_asks_for_nothing_that_the_role_edit_has_not() -> None:
    # What Kubernetes' own role has of the core group; the chart adds BatchJobs and BatchGateways to it.
    core = {"configmaps", "secrets", "persistentvolumeclaims", "pods"}
    assert {resource.plural for _, resource, _, _ in NEEDED if not resource.group} <= core
    assert {(verb, resource.plural) for verb, resource, _, _ in NEEDED if resource.group} == {
        ("get", "batchjobs"), ("create", "batchjobs"), ("get", "batchgateways"), ("list", "batchgateways")
    }  # fmt: skip
