"""A real client, openai-python, goes the whole way in both dialects, with and without Kong."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable

import openai
import pytest
from openai.types import Batch

from tests.emulator.conftest import FIVE, jsonl, request_line
from tests.emulator.server import EmulatorServer


@dataclasses.dataclass(frozen=True)
class Setup:
    config: dict[str, object]
    client: Callable[[str], openai.OpenAI]


SETUPS = {
    "Azure, dated version": Setup(
        {"dialect": "azure", "kong": {"enabled": False}, "api_keys": ["secret"]},
        lambda url: openai.AzureOpenAI(
            azure_endpoint=url, api_key="secret", api_version="2025-01-01-preview", max_retries=0
        ),
    ),
    "Azure, v1": Setup(
        {"dialect": "azure", "kong": {"enabled": False}, "api_keys": ["secret"]},
        lambda url: openai.OpenAI(base_url=f"{url}/openai/v1", api_key="secret", max_retries=0),
    ),
    "OpenAI": Setup(
        {"dialect": "openai", "kong": {"enabled": False}, "api_keys": ["secret"]},
        lambda url: openai.OpenAI(base_url=f"{url}/v1", api_key="secret", max_retries=0),
    ),
    "Azure through Kong": Setup(
        {
            "dialect": "azure",
            "api_keys": ["upstream"],
            "kong": {"consumer_keys": ["consumer"], "upstream_api_key": "upstream"},
        },
        lambda url: openai.OpenAI(
            base_url=url, api_key="ignored", default_headers={"apikey": "consumer"}, max_retries=0
        ),
    ),
    "OpenAI through Kong": Setup(
        {"dialect": "openai"}, lambda url: openai.OpenAI(base_url=url, api_key="ignored", max_retries=0)
    ),
}


@pytest.fixture(params=list(SETUPS.values()), ids=list(SETUPS))
def client(request: pytest.FixtureRequest, emulator: EmulatorServer) -> openai.OpenAI:
    setup: Setup = request.param
    return setup.client(emulator.instance(**setup.config).url)


def create(client: openai.OpenAI, file_id: str) -> Batch:
    return client.batches.create(
        input_file_id=file_id, endpoint="/v1/chat/completions", completion_window="24h", metadata={"run": "7"}
    )


def poll(client: openai.OpenAI, batch_id: str, status: str) -> Batch:
    deadline = time.monotonic() + 10
    while (batch := client.batches.retrieve(batch_id)).status != status:
        assert time.monotonic() < deadline, batch
        time.sleep(0.05)
    return batch


def test_upload_create_poll_download_delete(client: openai.OpenAI) -> None:
    file = client.files.create(file=("batch.jsonl", FIVE, "application/jsonl"), purpose="batch")
    assert client.files.content(file.id).content == FIVE
    assert client.files.retrieve(file.id).bytes == 1560
    batch = poll(client, create(client, file.id).id, "completed")
    assert batch.metadata == {"run": "7"}
    assert batch.request_counts is not None
    assert batch.request_counts.completed == 5
    assert batch.output_file_id is not None
    lines = client.files.content(batch.output_file_id).text.splitlines()
    assert {json.loads(line)["custom_id"] for line in lines} == {f"prod{number}" for number in range(1, 6)}
    # Azure's dated versions have no paging here, and the SDK would ask for the next page for ever.
    assert {listed.id for listed in client.files.list().data} == {file.id, batch.output_file_id}
    assert client.files.delete(file.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(file.id)


def test_paging_through_the_list_finds_every_batch_newest_first(client: openai.OpenAI) -> None:
    file = client.files.create(file=("batch.jsonl", FIVE, "application/jsonl"), purpose="batch")
    made = [create(client, file.id).id for _ in range(5)]
    assert [batch.id for batch in client.batches.list(limit=2)] == made[::-1]


def test_cancel(client: openai.OpenAI) -> None:
    file = client.files.create(file=("batch.jsonl", jsonl(request_line()), "application/jsonl"), purpose="batch")
    batch = client.batches.cancel(create(client, file.id).id)
    assert batch.status == "cancelling"
    assert poll(client, batch.id, "cancelled").output_file_id is None


@pytest.mark.parametrize("name", ["Azure, dated version", "Azure, v1", "OpenAI"])
def test_a_wrong_key_is_refused(name: str, emulator: EmulatorServer) -> None:
    client = SETUPS[name].client(emulator.instance(**SETUPS[name].config).url)
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="wrong").files.list()


def test_one_lost_answer_makes_the_sdk_submit_twice(emulator: EmulatorServer) -> None:
    instance = emulator.instance()
    client = openai.OpenAI(base_url=instance.url, api_key="ignored")
    file = client.files.create(file=("batch.jsonl", FIVE, "application/jsonl"), purpose="batch")
    instance.fault("reset_after", "batches.create")
    create(client, file.id)
    assert len(instance.batches()) == 2
