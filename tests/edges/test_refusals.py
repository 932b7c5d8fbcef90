"""A refusal is told in the gateway's own words, but never with a credential or a prompt in it."""

import pytest

from llmbatch.provider.edge.client import Gateway
from llmbatch.provider.edge.outcome import Refused
from llmbatch.provider.pure.connection import Connection
from llmbatch.transfer.edge.collect import collect
from llmbatch.transfer.edge.upload import upload
from tests.edges.collecting import Done
from tests.edges.plans import connection_to, jsonl, upload_plan
from tests.emulator.client import Instance

CANARY = 'canary/"7f3a9'
ENVIRON = {"H": f"Bearer {CANARY}", "Q": f"{CANARY}-q"}
QUOTING = [
    pytest.param(f"No such key: {CANARY}.", id="as it is"),
    pytest.param(f"Authorization: Bearer {CANARY}", id="the whole value"),
    pytest.param("?key=canary%2F%227f3a9-q", id="as a URL has it"),
    pytest.param("?key=canary/%227f3a9", id="as a path has it"),
]


def keyed(url: str) -> Connection:
    headers = [{"name": "Authorization", "variable": "H"}]
    return connection_to(url, headers=headers, query=[{"name": "key", "variable": "Q"}])


@pytest.mark.parametrize("as_", ["kong", "azure", "openai", "text"])
@pytest.mark.parametrize("said", QUOTING)
async def test_a_small_calls_refusal_does_not_show_the_credential(kong: Instance, said: str, as_: str) -> None:
    kong.fault("status", "batches.list", status=401, as_=as_, message=said)
    gateway = Gateway.connect(keyed(kong.url), ENVIRON)
    refused = await gateway.list_batches()
    await gateway.close()
    assert isinstance(refused, Refused)
    assert "***" in refused.message
    assert "7f3a9" not in repr(refused)


@pytest.mark.parametrize("said", QUOTING)
def test_a_transfers_refusal_does_not_show_the_credential(kong: Instance, five: Done, said: str) -> None:
    kong.fault("status", "files.create", status=401, message=said)
    kong.fault("status", "files.content", status=401, message=said, times=-1)
    plan = upload_plan(kong.url, connection=keyed(kong.url))
    for told in (upload(plan, jsonl("a"), ENVIRON), collect(five.plan(connection=keyed(kong.url)), ENVIRON)):
        assert told.problem is not None
        assert "***" in told.problem.message
        assert "7f3a9" not in told.model_dump_json()


def test_a_refused_upload_does_not_show_the_passage_that_a_firewall_quotes(kong: Instance) -> None:
    kong.fault("status", "files.create", status=403, as_="kong", message="blocked: 'the patient has a fever'")
    told = upload(upload_plan(kong.url), jsonl("a"), {})
    assert told.problem is not None
    assert "blocked: '…'" in told.problem.message
