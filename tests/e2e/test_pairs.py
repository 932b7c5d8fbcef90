"""Any input with any output, in both dialects, each from `kubectl apply` to stored results."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.e2e import objects
from tests.e2e.conftest import Tenant, make_tenant
from tests.e2e.kube import condition
from tests.e2e.release import Release

IDS = ("prod1", "prod2", "prod3", "prod4", "prod5")
PLACES = ("configmap", "secret", "volume")
DIALECTS = ("azure", "openai")


@dataclass
class Town:
    """A tenant whose nine jobs are under way together."""

    tenant: Tenant
    volume: objects.Volume


@pytest.fixture(scope="module", params=DIALECTS)
def town(request: pytest.FixtureRequest, release: Release) -> Iterator[Town]:
    tenant = make_tenant(release, dialect=request.param)
    kube = tenant.kube
    volume = objects.Volume(kube, "data", release.cluster.operator_image)
    lines = objects.requests(*IDS)
    volume.write("in/batch.jsonl", lines)
    kube.apply(
        objects.config_map("prompts", {"batch.jsonl": lines}),
        objects.secret("prompts", {"batch.jsonl": lines}),
        *(
            objects.job(f"{source}-{target}", _input(source), _output(source, target))
            for source in PLACES
            for target in PLACES
        ),
    )
    yield Town(tenant, volume)
    kube.run("delete", "namespace", kube.namespace, "--wait=false", "--ignore-not-found")


def _input(place: str) -> objects.Json:
    if place == "volume":
        return objects.in_volume("data", "in/batch.jsonl")
    return objects.in_config_map("prompts") if place == "configmap" else objects.in_secret("prompts")


def _output(source: str, place: str) -> objects.Json:
    name = f"{source}-{place}"
    if place == "volume":
        return objects.in_volume("data", f"out/{name}.jsonl")
    return (
        objects.in_config_map(name, "results.jsonl")
        if place == "configmap"
        else objects.in_secret(name, "results.jsonl")
    )


@pytest.mark.parametrize("target", PLACES)
@pytest.mark.parametrize("source", PLACES)
def test_results_of_every_input_reach_every_output_in_the_order_of_the_input(
    town: Town, source: str, target: str
) -> None:
    name, kube = f"{source}-{target}", town.tenant.kube
    job = kube.wait_for(name, "Complete", seconds=180)
    found = (
        town.volume.read(f"out/{name}.jsonl")
        if target == "volume"
        else objects.stored(kube, target, name, "results.jsonl")
    )
    assert found is not None
    answers = [json.loads(line) for line in found.splitlines()]
    assert [answer["custom_id"] for answer in answers] == list(IDS)
    assert all(answer["response"]["status_code"] == 200 for answer in answers)
    status = job["status"]
    assert status["requestCounts"] == {"total": 5, "completed": 5, "failed": 0}
    assert status["output"]["bytes"] == len(found.encode())
    assert status["usage"]["totalTokens"] == sum(
        answer["response"]["body"]["usage"]["total_tokens"] for answer in answers
    )
    assert condition(job, "Ready") | {"status": "True", "reason": "Succeeded"} == condition(job, "Ready")


def test_remote_files_are_gone_and_each_job_made_one_batch(town: Town) -> None:
    for source in PLACES:
        for target in PLACES:
            town.tenant.kube.wait_for(f"{source}-{target}", "Complete", seconds=180)
    left = [file["id"] for file in town.tenant.kong.files() if not file["deleted"]]
    assert left == []
    assert town.tenant.creates() == len(PLACES) ** 2


def test_no_temporary_file_is_left_in_the_volume(town: Town) -> None:
    for source in PLACES:
        town.tenant.kube.wait_for(f"{source}-volume", "Complete", seconds=180)
    assert town.volume.files() == sorted(["in/batch.jsonl", *(f"out/{source}-volume.jsonl" for source in PLACES)])
