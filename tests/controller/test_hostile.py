"""A user who may edit BatchJobs, and nothing else, gets at nothing else through the operator."""

import io
import json
from pathlib import Path
from typing import Any

import pytest

from llmbatch.api.reasons import Reason
from tests.controller.conftest import FIVE, jsonl
from tests.emulator.client import Instance
from tests.support import build
from tests.support.apiserver import ApiServer
from tests.support.inprocess import NAMESPACE, Json, Operator, apply_all, config_map, secret

OTHERS = "team-b"
CANARY = "hunter2canary7f3a9"
KEY = [{"name": "apikey", "valueFrom": {"secretKeyRef": {"name": "consumer", "key": "apikey"}}}]
FROM_SECRET = {"secret": {"name": "credentials", "key": "k"}}
TO_SECRET = {"secret": {"name": "victim", "key": "k"}}


def told(api: ApiServer) -> str:
    """Everything that the user may read: all but Secrets and ConfigMaps."""
    return json.dumps([found for found in api.stored if found["_plural"] not in ("secrets", "configmaps")])


def elsewhere(found: Json) -> Json:
    return {**found, "metadata": {**found["metadata"], "namespace": OTHERS}}


# --- other namespaces ----------------------------------------------------------------------------------------------------


async def test_nothing_of_another_namespace_is_ever_read(operator: Operator, api: ApiServer, kong: Instance) -> None:
    for plural, found in (
        ("secrets", secret("consumer", apikey=CANARY)),
        ("secrets", secret("credentials", k=jsonl("a").decode())),
        ("configmaps", config_map("prompts", "batch.jsonl", FIVE)),
        ("batchgateways", build.batchgateway(kong.url, headers=KEY)),
    ):
        api.put(plural, elsewhere(found))
    api.put("batchjobs", build.batchjob())
    await operator.until_reason(Reason.GATEWAY_NOT_FOUND)
    api.put("batchgateways", build.batchgateway(kong.url, headers=KEY))
    await operator.until_reason(Reason.CREDENTIALS_NOT_FOUND)
    api.put("secrets", secret("consumer", apikey="mine-alone"))
    await operator.until_reason(Reason.INPUT_NOT_FOUND)
    # The gateway there is looked at for its own sake, with its own Secret.
    read = {(call.plural, call.name) for call in api.calls if call.namespace == OTHERS and call.verb == "get"}
    assert read <= {("secrets", "consumer")}
    assert not [call for call in kong.calls() if call["operation"].endswith(".create")]


@pytest.mark.parametrize(
    "name", [f"../../{OTHERS}/x", f"{OTHERS}/consumer", "..", "a/../b", "a?x=1", "a#b", "a%2fb", "A"]
)
@pytest.mark.parametrize("where", ["gatewayRef", "input", "output"])
async def test_a_name_that_is_none_is_asked_nobody_about_whatever_the_api_server_let_through(
    operator: Operator, api: ApiServer, kong: Instance, name: str, where: str
) -> None:
    place: dict[str, Any] = {"name": name} if where == "gatewayRef" else {"secret": {"name": name, "key": "k"}}
    job: dict[str, Any] = {where: place}
    apply_all(api, kong, FIVE, build.batchjob(**job))
    await operator.until_reason(Reason.INVALID_SPEC)
    assert {call.namespace for call in api.calls} <= {NAMESPACE, ""}
    assert not [call for call in api.calls if call.plural in ("secrets", "configmaps")]


# --- Secrets of his own namespace ----------------------------------------------------------------------------------------

CONTENTS = {
    "a password": CANARY,
    "a line": f"{CANARY}\n",
    "an env file": f"USER=me\nPASSWORD={CANARY}\n",
    "a kubeconfig": f"apiVersion: v1\nkind: Config\nusers:\n- name: me\n  user: {{token: {CANARY}}}\n",
    "a Docker configuration": json.dumps({"auths": {"r.example": {"auth": CANARY, "password": CANARY}}}),
    "a key": f"-----BEGIN PRIVATE KEY-----\n{CANARY}\n-----END PRIVATE KEY-----\n",
    "a JSON text": json.dumps(CANARY),
    "a JSON list": json.dumps([CANARY]),
    "JSON that breaks off": '{"password": "' + CANARY,
    "a number": "7" * 40,
    "a name of a member": json.dumps({CANARY: CANARY}),
    "a request with a wrong method": jsonl("a").decode().replace('"POST"', f'"{CANARY}"'),
    "a request with a wrong url": jsonl("a").decode().replace("/v1/chat/completions", f"/{CANARY}"),
    "two models": jsonl("a").decode() + jsonl("b").decode().replace("gpt-4o", CANARY),
    "a prompt": jsonl("a", prompt=CANARY).decode() * 2,
    "a bad escape": '{"custom_id": "\\uZZZZ' + CANARY + '"}',
    "nesting": "[" * 1000 + json.dumps(CANARY),
    "a null": f"\0{CANARY}\0",
}


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS.keys())
async def test_a_secret_given_as_input_is_never_quoted(
    operator: Operator, api: ApiServer, kong: Instance, logged: io.StringIO, content: str
) -> None:
    api.put("secrets", secret("credentials", k=content))
    apply_all(api, kong, FIVE, build.batchjob(input=FROM_SECRET))
    status = await operator.until_ended()
    assert operator.reason() == Reason.INVALID_INPUT
    assert status.input is None, "neither its size nor its digest"
    await operator.runtime.recorder.flush(2)
    secrets = CANARY if CANARY in content else content
    assert secrets not in told(api)
    assert secrets not in logged.getvalue()
    assert not kong.calls("files.create"), "nothing of it was sent"


async def test_a_repeated_custom_id_is_named_since_nothing_else_finds_it(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    """The one piece of an input that is told: the name that its writer gave a request, in a line that is a request."""
    apply_all(api, kong, jsonl("order-17", "order-17"))
    await operator.until_ended()
    assert "order-17" in told(api)


async def test_a_secret_that_is_not_the_jobs_is_neither_overwritten_nor_told(
    operator: Operator, api: ApiServer, kong: Instance, logged: io.StringIO
) -> None:
    api.put("secrets", secret("victim", k=CANARY))
    before = api.get("secrets", "victim")
    apply_all(api, kong, FIVE, build.batchjob(output=TO_SECRET))
    await operator.until_reason(Reason.OUTPUT_EXISTS)
    api.edit("batchjobs", "job", {"spec": {"output": {"secret": {"name": "victim", "key": "another"}}}})
    await operator.until(lambda: operator.status().observed_generation == 2)
    await operator.until_reason(Reason.OUTPUT_EXISTS)
    assert api.get("secrets", "victim") == before
    assert not api.writes("secrets")
    assert CANARY not in told(api) + logged.getvalue()


async def test_a_secret_of_another_job_of_the_same_name_is_not_overwritten(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    """Names come again, uids don't: a job that was deleted and made anew is another one."""
    victim = secret("victim", k=CANARY)
    owner = {
        "apiVersion": "llmbatch.io/v1alpha1",
        "kind": "BatchJob",
        "name": "job",
        "uid": "another",
        "controller": True,
    }
    victim["metadata"] |= {"labels": {"app.kubernetes.io/managed-by": "llmbatch"}, "ownerReferences": [owner]}
    api.put("secrets", victim)
    apply_all(api, kong, FIVE, build.batchjob(output=TO_SECRET))
    await operator.until_reason(Reason.OUTPUT_EXISTS)
    assert not api.writes("secrets")


async def test_a_secret_that_the_operator_makes_is_a_plain_one(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    """One of type service-account-token, with the annotation, would be filled with somebody's token."""
    apply_all(api, kong, FIVE, build.batchjob(output=TO_SECRET))
    await operator.until(lambda: operator.status().summary.submission_time)
    kong.advance(3600)
    await operator.until_ended()
    made = api.get("secrets", "victim")
    assert made is not None
    assert made["type"] == "Opaque"
    assert "annotations" not in made["metadata"]
    assert made["data"].keys() == {"k"}


# --- the gateway's credentials -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("remote_id", ["../../admin", "a?x=1", "//evil.example", "a@evil.example", "a\r\nx: y", "."])
@pytest.mark.parametrize("deleted", [True, False])
async def test_ids_written_into_the_status_lead_the_credentials_nowhere(
    api: ApiServer, kong: Instance, tmp_path: Path, remote_id: str, *, deleted: bool
) -> None:
    """Whoever may edit the status too still chooses no address."""
    api.put("secrets", secret("consumer", apikey=CANARY))
    apply_all(api, kong, FIVE, headers=KEY)
    async with Operator(api, tmp_path, cleanup_timeout_seconds=1).running() as operator:
        await operator.until(lambda: operator.status().summary.submission_time)
    kong.clear_calls()
    (batch,) = operator.job()["status"]["batches"]
    forged = {**batch, "id": remote_id, "outputFileID": remote_id, "errorFileID": remote_id, "inputFileID": remote_id}
    api.put("batchjobs", {**operator.job(), "status": {**operator.job()["status"], "batches": [forged]}})
    async with Operator(api, tmp_path, cleanup_timeout_seconds=1).running() as operator:
        if deleted:
            api.remove("batchjobs", "job")
            await operator.until_gone()
        else:
            await operator.until_reason(Reason.REMOTE_BATCH_NOT_FOUND)
    # The gateway's own probe; and the batch that was really made may be found by its uid, cancelled and cleaned up.
    real = {batch["id"], batch["inputFileID"], *(file["id"] for file in kong.files())}
    known = {"/files", "/batches", *(f"/files/{name}" for name in real), *(f"/batches/{name}" for name in real)}
    assert {call["path"].removesuffix("/cancel") for call in kong.calls()} <= known
