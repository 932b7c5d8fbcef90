"""The Kubernetes API as the operator uses it: over a wire, with the API server's own rules."""

import asyncio
import base64
import json

import pytest

from llmbatch.kube import errors
from llmbatch.kube.client import MOST_PAGE_BYTES, Cluster, ClusterError
from llmbatch.kube.permissions import CONFIGMAPS, GATEWAYS, JOBS, PODS, SECRETS, Resource
from llmbatch.transfer.pure.naming import Owner
from llmbatch.transfer.pure.report import Problem
from llmbatch.transfers.objects import settle_ownership, store
from tests.support import build
from tests.support.apiserver import ApiServer
from tests.support.inprocess import config_map, secret

OWNER = Owner("team-a", "job", build.UID)


async def test_what_does_not_exist_is_none(cluster: Cluster) -> None:
    assert await cluster.get(JOBS, "team-a", "job") is None


async def test_a_list_comes_page_by_page(api: ApiServer, cluster: Cluster) -> None:
    for number in range(5):
        api.put("batchjobs", build.batchjob(f"job-{number}", namespace="team-a" if number % 2 else "team-b"))
    names, after, pages = [], "", 0
    while pages == 0 or after:
        items, after = await cluster.page(JOBS, None, limit=2, after=after)
        names += [item["metadata"]["name"] for item in items]
        pages += 1
    assert (sorted(names), pages) == ([f"job-{number}" for number in range(5)], 3)
    items, _ = await cluster.page(JOBS, "team-b")
    assert len(items) == 3


async def test_a_list_of_objects_that_are_large_comes_in_pages_that_are_not(api: ApiServer, cluster: Cluster) -> None:
    # In memory at the same time they would be more than the operator has.
    for number in range(70):
        made = build.batchjob(f"job-{number}", metadata={"annotations": {"a": "x" * (600_000 if number % 7 else 10)}})
        api.put("batchjobs", made)
    sizes = [len(page["items"]) async for page in cluster.pages(JOBS, None)]
    assert sum(sizes) == 70
    assert max(sizes) * 600_000 < 2 * MOST_PAGE_BYTES
    items, _ = await cluster.page(JOBS, None)
    assert 1 <= len(items) <= max(sizes)


async def test_a_list_can_be_narrowed(api: ApiServer, cluster: Cluster) -> None:
    for name in ("a", "b"):
        api.put("pods", {"metadata": {"name": name, "namespace": "team-a", "labels": {"of": name}}})
    items, _ = await cluster.page(PODS, "team-a", selector="of=b")
    assert [item["metadata"]["name"] for item in items] == ["b"]


async def test_a_stale_compare_and_swap_is_a_conflict_and_changes_nothing(api: ApiServer, cluster: Cluster) -> None:
    version = api.put("batchjobs", build.batchjob())["metadata"]["resourceVersion"]
    await cluster.patch_status(JOBS, "team-a", "job", {"attempts": 1}, resource_version=version)
    with pytest.raises(ClusterError) as error:
        await cluster.patch_status(JOBS, "team-a", "job", {"attempts": 2}, resource_version=version)
    assert (error.value.status, error.value.reason) == (409, "Conflict")
    written = await cluster.patch_status(JOBS, "team-a", "job", {"attempts": 3})
    assert written["status"]["attempts"] == 3
    assert written["metadata"]["generation"] == 1, "a status is no new generation"


async def test_a_json_patch_whose_test_fails_is_refused(api: ApiServer, cluster: Cluster) -> None:
    api.put("batchjobs", build.batchjob())
    stale = {"op": "test", "path": "/metadata/resourceVersion", "value": "1"}
    add = {"op": "add", "path": "/metadata/finalizers", "value": ["x"]}
    with pytest.raises(ClusterError) as error:
        await cluster.patch(JOBS, "team-a", "job", [stale, add])
    assert error.value.status == 422
    assert "finalizers" not in (await cluster.patch(JOBS, "team-a", "job", []))["metadata"]


async def test_deleting_what_is_gone_is_fine(api: ApiServer, cluster: Cluster) -> None:
    kubernetes_jobs = Resource("batch", "v1", "jobs")
    await cluster.delete(kubernetes_jobs, "team-a", "job")
    assert [call.body for call in api.writes("jobs")] == [{"propagationPolicy": "Background"}]


@pytest.mark.parametrize("kind", ["cut before", "cut after"])
async def test_no_answer_to_a_write_is_an_error_of_its_own_and_nothing_is_repeated(
    api: ApiServer, cluster: Cluster, kind: str
) -> None:
    api.put("batchjobs", build.batchjob())
    api.fault(kind, "patch", "batchjobs", "status")  # type: ignore[arg-type]
    with pytest.raises(ClusterError, match="no answer from the API server to PATCH") as error:
        await cluster.patch_status(JOBS, "team-a", "job", {"attempts": 1})
    assert (error.value.status, error.value.reason) == (0, "NoAnswer")
    assert len(api.calls) == 1, "our own queue retries, not the client"


async def test_a_call_outside_the_declared_permissions_never_leaves(api: ApiServer, cluster: Cluster) -> None:
    with pytest.raises(PermissionError, match="create batchgateways/ is not among"):
        await cluster.create(GATEWAYS, "team-a", {})
    assert not api.calls


async def test_what_is_served_and_allowed(api: ApiServer, cluster: Cluster) -> None:
    assert await cluster.served(JOBS)
    assert not await cluster.served(Resource("example.com", "v1", "others"))
    api.denied = {("get", "secrets")}
    assert not await cluster.may(SECRETS, "", "get", "")
    assert await cluster.may(JOBS, "status", "patch", "team-a")


# --- results in an object --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("resource", [SECRETS, CONFIGMAPS], ids=["Secret", "ConfigMap"])
async def test_results_are_stored_in_an_object_of_ours_again_and_again(
    api: ApiServer, cluster: Cluster, resource: Resource
) -> None:
    assert await store(cluster, resource, OWNER, "results", {"r": b"one"}) is None
    assert await store(cluster, resource, OWNER, "results", {"r": b"two"}) is None
    assert api.data(resource.plural, "results", "r") == b"two"


@pytest.mark.parametrize("resource", [SECRETS, CONFIGMAPS], ids=["Secret", "ConfigMap"])
async def test_what_is_not_ours_is_never_overwritten(api: ApiServer, cluster: Cluster, resource: Resource) -> None:
    api.put(resource.plural, secret("results", r="x") if resource is SECRETS else config_map("results", "r", b"x"))
    problem = await store(cluster, resource, OWNER, "results", {"r": b"one"})
    assert isinstance(problem, Problem)
    assert problem.reason == "OutputExists"
    assert api.data(resource.plural, "results", "r") == b"x"


async def test_something_that_appears_just_now_is_not_overwritten_either(api: ApiServer, cluster: Cluster) -> None:
    api.fault("status", "create", "secrets", status=409, times=2)
    with pytest.raises(ClusterError):
        await store(cluster, SECRETS, OWNER, "results", {"r": b"one"})


async def test_what_takes_the_place_of_the_jobs_own_while_it_is_written_is_not_overwritten(
    api: ApiServer, cluster: Cluster
) -> None:
    assert await store(cluster, SECRETS, OWNER, "results", {"r": b"one"}) is None
    held = api.fault("hold", "apply", "secrets")
    storing = asyncio.create_task(store(cluster, SECRETS, OWNER, "results", {"r": b"two"}))
    while not any(call.verb == "apply" for call in api.calls):  # noqa: ASYNC110 - nothing tells of it
        await asyncio.sleep(0.01)
    api.remove("secrets", "results")
    api.put("secrets", secret("results", r="somebody else's"))
    held.released.set()
    with pytest.raises(ClusterError) as error:
        await storing
    assert (error.value.status, error.value.passes) == (409, True)
    assert api.data("secrets", "results", "r") == b"somebody else's"


async def test_too_much_is_told(cluster: Cluster) -> None:
    problem = await store(cluster, SECRETS, OWNER, "results", {"r": bytes(1_100_000)})
    assert problem is not None
    assert (problem.reason, "1100000 bytes" in problem.message) == ("OutputTooLarge", True)


@pytest.mark.parametrize("owned", [True, False])
async def test_an_object_of_its_own_that_is_written_again_goes_with_the_job_as_is_said_then(
    api: ApiServer, cluster: Cluster, owned: bool
) -> None:
    assert await store(cluster, SECRETS, OWNER, "results", {"r": b"one"}, owned=not owned) is None
    assert await store(cluster, SECRETS, OWNER, "results", {"r": b"two"}, owned=owned) is None
    found = api.get("secrets", "results")
    assert found is not None
    assert bool(found["metadata"].get("ownerReferences")) == owned


async def test_an_object_of_its_own_is_written_also_where_no_further_one_may_be_made(
    api: ApiServer, cluster: Cluster
) -> None:
    assert await store(cluster, SECRETS, OWNER, "results", {"r": b"one"}) is None
    api.fault("status", "create", "secrets", status=403)
    assert await store(cluster, SECRETS, OWNER, "results", {"r": b"two"}) is None
    assert api.data("secrets", "results", "r") == b"two"


@pytest.mark.parametrize("status", [400, 403, 405, 422, 451])
async def test_an_object_that_admission_refuses_is_told(api: ApiServer, cluster: Cluster, status: int) -> None:
    api.fault("status", "create", "secrets", status=status, times=2)
    problem = await store(cluster, SECRETS, OWNER, "results", {"r": b"x"})
    assert problem is not None
    assert problem.reason == "OutputInvalid"


async def test_bytes_that_are_no_text_are_kept_in_a_configmap(api: ApiServer, cluster: Cluster) -> None:
    assert await store(cluster, CONFIGMAPS, OWNER, "results", {"r": b"\xff"}) is None
    found = api.get("configmaps", "results")
    assert found is not None
    assert found["binaryData"] == {"r": "/w=="}


@pytest.mark.parametrize("resource", [SECRETS, CONFIGMAPS], ids=["Secret", "ConfigMap"])
@pytest.mark.parametrize("first", [b"x", b"\xff"], ids=["text", "no text"])
@pytest.mark.parametrize("second", [b"y", b"\xfe"], ids=["text", "no text"])
async def test_what_is_stored_once_more_leaves_nothing_of_the_time_before_but_what_others_have_put_there(
    api: ApiServer, cluster: Cluster, resource: Resource, first: bytes, second: bytes
) -> None:
    assert await store(cluster, resource, OWNER, "results", {"r": first, "r.errors": b"e", "r.foreign": None}) is None
    api.edit(resource.plural, "results", {"data": {"note": "theirs"}})
    assert await store(cluster, resource, OWNER, "results", {"r": second, "r.errors": None, "r.foreign": b"f"}) is None
    found = api.get(resource.plural, "results") or {}
    texts, others = found.get("data") or {}, found.get("binaryData") or {}
    assert not texts.keys() & others.keys(), "the API server allows no key twice"
    assert texts.keys() | others.keys() == {"r", "r.foreign", "note"}
    plain = "r" in texts and resource is CONFIGMAPS
    assert (texts["r"].encode() if plain else base64.b64decode({**texts, **others}["r"])) == second


async def test_an_owned_object_goes_with_its_job_and_another_does_not(api: ApiServer, cluster: Cluster) -> None:
    await store(cluster, SECRETS, OWNER, "kept", {"r": b"x"})
    await store(cluster, SECRETS, OWNER, "gone", {"r": b"x"}, owned=True)
    references = {item["metadata"]["name"]: item["metadata"].get("ownerReferences") for item in api.objects("secrets")}
    assert references == {"kept": None, "gone": [OWNER.reference()]}


async def test_ownership_follows_the_spec_and_what_is_not_ours_is_left_alone(api: ApiServer, cluster: Cluster) -> None:
    other = {"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "other"}
    await store(cluster, SECRETS, OWNER, "ours", {"r": b"x"}, owned=True)
    api.put("secrets", secret("theirs", r="x"))
    await settle_ownership(cluster, SECRETS, OWNER, "ours", owned=False)
    assert not (api.get("secrets", "ours") or {})["metadata"].get("ownerReferences")
    api.edit("secrets", "ours", {"metadata": {"ownerReferences": [other]}})
    for name in ("ours", "theirs", "missing"):
        await settle_ownership(cluster, SECRETS, OWNER, name, owned=True)
    assert (api.get("secrets", "ours") or {})["metadata"]["ownerReferences"] == [other, OWNER.reference()]
    assert "ownerReferences" not in (api.get("secrets", "theirs") or {})["metadata"]


async def test_results_of_another_job_are_named_as_such(api: ApiServer, cluster: Cluster) -> None:
    await store(cluster, SECRETS, Owner("team-a", "job", "earlier"), "results", {"r": b"x"})
    problem = await store(cluster, SECRETS, OWNER, "results", {"r": b"y"})
    assert problem is not None
    assert "has the results of another BatchJob (uid earlier)" in problem.message
    assert "or delete it, and the job goes on" in problem.message
    assert api.data("secrets", "results", "r") == b"x"


@pytest.mark.parametrize(
    ("status", "message", "refuses"),
    [
        (0, "no answer", False),
        (400, 'admission webhook "policies.example.com" denied the request: no', True),
        (401, "Unauthorized", False),
        (403, 'pods "x" is forbidden: exceeded quota', True),
        (404, 'namespaces "team-a" not found', False),
        (405, 'admission webhook "policies.example.com" denied the request: not on a Friday', True),
        (409, 'Operation cannot be fulfilled on resourcequotas "compute": the object has been modified', False),
        (413, "ValidatingAdmissionPolicy 'size' denied request: too large", True),
        (429, "too many requests", False),
        (500, 'Internal error occurred: failed calling webhook "kyverno": connection refused', True),
        (500, "etcdserver: request timed out", False),
        (503, 'failed calling webhook "kyverno": the server is currently unable to handle the request', True),
        (504, "Timeout: request did not complete within the allotted timeout", False),
    ],
)
def test_what_somebody_is_to_see_to_is_told_from_what_passes(status: int, message: str, *, refuses: bool) -> None:
    raw = json.dumps({"kind": "Status", "message": message}).encode()
    assert errors.refused(status, {}, raw).refuses is refuses
