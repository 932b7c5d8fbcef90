"""Whatever a gateway says, and in whichever call: nothing of the input and no credential is told to anybody."""

import io
import json

import pytest

from tests.controller.conftest import jsonl
from tests.emulator.client import Instance
from tests.support import build, canary
from tests.support.apiserver import ApiServer
from tests.support.inprocess import Operator, apply_all, secret

KEY = [{"name": "apikey", "valueFrom": {"secretKeyRef": {"name": "consumer", "key": "apikey"}}}]
TAG = f"tag-{canary.PROMPT_WORD}"
SAID = f"Invalid request with {canary.PROMPT} and {TAG} by {canary.CREDENTIAL}"
FORMS = [
    pytest.param(SAID, id="as it is"),
    pytest.param(json.dumps(SAID), id="as JSON"),
    pytest.param(SAID.upper(), id="in capitals"),
    pytest.param(" ".join(SAID.split())[:90], id="cut"),
    pytest.param(f"{SAID} " * 50, id="many times"),
    pytest.param(f"The model '{SAID}' does not exist", id="within a known sentence"),
]


def nothing_is_told(api: ApiServer, logged: io.StringIO) -> None:
    """Statuses and events, and the logs; the spec's own metadata is the user's to show."""
    shown = [
        json.dumps(found if found["_plural"] == "events" else found.get("status"))
        for found in api.stored
        if found["_plural"] not in ("secrets", "configmaps")
    ]
    assert canary.scan([*shown, logged.getvalue()]) == []


@pytest.mark.parametrize("as_", ["azure", "text"])
@pytest.mark.parametrize(
    ("operation", "status"),
    [
        ("files.create", 400),
        ("files.create", 403),
        ("files.get", 400),
        ("batches.create", 400),
        ("batches.create", 409),
        ("batches.create", 429),
        ("batches.get", 400),
        ("batches.get", 500),
        ("batches.list", 401),
    ],
)
async def test_a_refusal_is_told_without_its_words(
    operator: Operator, api: ApiServer, kong: Instance, logged: io.StringIO, *, operation: str, status: int, as_: str
) -> None:
    # So that the file is asked for.
    kong.configure(file_pending_seconds=0.05)
    kong.fault("status", operation, status=status, as_=as_, message=SAID, times=-1)
    api.put("secrets", secret("consumer", apikey=canary.CREDENTIAL))
    apply_all(api, kong, jsonl("a", prompt=canary.PROMPT), build.batchjob(metadata={"tag": TAG}), headers=KEY)
    await operator.until(lambda: any(fault["hits"] for fault in kong.faults()))
    for _ in range(3):
        await operator.look()
        await operator.quiet()
    await operator.runtime.recorder.flush(1.0)
    nothing_is_told(api, logged)
    told = [found.get("status") for plural in ("batchjobs", "batchgateways") for found in api.objects(plural)]
    # After a conflict it is not told what was answered, but what is waited for.
    assert status == 409 or f" {status} " in json.dumps(told)


@pytest.mark.parametrize("said", FORMS)
async def test_why_a_file_was_refused_is_told_without_its_words(
    operator: Operator, api: ApiServer, kong: Instance, logged: io.StringIO, said: str
) -> None:
    kong.configure(file_final_status="error", file_status_details=said)
    apply_all(api, kong, jsonl("a", prompt=canary.PROMPT))
    status = await operator.until_ended()
    await operator.runtime.recorder.flush(1.0)
    assert status.holds("Failed")
    nothing_is_told(api, logged)
