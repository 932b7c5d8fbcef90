"""One emulator for all of these tests, an instance of its own for each of them."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.emulator.client import Instance
from tests.emulator.server import EmulatorServer

PROMPTS = (
    "Write a compelling product description for a solar-powered smart garden light.",
    "Write a product description for an energy-efficient smart thermostat for home use.",
    "Write an engaging product description for a biodegradable bamboo kitchen utensil set.",
    "Write a detailed product description for a water-saving smart shower head.",
    "Write a concise product description for a compact indoor air purifier that uses natural filters.",
)
CHAT = "/v1/chat/completions"


def request_line(custom_id: str = "task-0", **changes: Any) -> dict[str, Any]:
    messages = [
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": changes.pop("prompt", "Say hello.")},
    ]
    body = {"model": "gpt-4o", "messages": messages, "max_tokens": 60}
    return {"custom_id": custom_id, "method": "POST", "url": CHAT, "body": body, **changes}


def jsonl(*lines: object) -> bytes:
    return "".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines).encode()


FIVE = jsonl(*(request_line(f"prod{number}", prompt=prompt) for number, prompt in enumerate(PROMPTS, start=1)))


@dataclasses.dataclass
class Wire:
    """A client that does nothing by itself: no retries, no interpretation."""

    instance: Instance
    http: httpx.Client

    def upload(self, content: bytes, filename: str = "batch.jsonl", **fields: str) -> httpx.Response:
        file = (filename, content, "application/jsonl")
        return self.http.post("/files", data={"purpose": "batch", **fields}, files={"file": file})

    def create(self, file_id: str, **changes: object) -> httpx.Response:
        body = {"input_file_id": file_id, "endpoint": CHAT, "completion_window": "24h", **changes}
        return self.http.post("/batches", json=body)

    def batch(self, batch_id: str) -> dict[str, Any]:
        shown: dict[str, Any] = self.http.get(f"/batches/{batch_id}").json()
        return shown

    def start(self, content: bytes, **changes: object) -> dict[str, Any]:
        """Upload and create."""
        created: dict[str, Any] = self.create(self.upload(content).json()["id"], **changes).json()
        return created

    def finish(self, content: bytes, **changes: object) -> dict[str, Any]:
        """Upload, create, and let the time pass until it is over."""
        batch = self.start(content, **changes)
        self.instance.advance(3600)
        return self.batch(batch["id"])

    def results(self, file_id: str) -> list[dict[str, Any]]:
        content = self.http.get(f"/files/{file_id}/content").raise_for_status().content
        return [json.loads(line) for line in content.splitlines()]


@pytest.fixture(scope="session")
def emulator() -> Iterator[EmulatorServer]:
    with EmulatorServer() as server:
        yield server


@pytest.fixture
def azure(emulator: EmulatorServer) -> Iterator[Wire]:
    """Azure behind Kong, as it is by default."""
    instance = emulator.instance()
    with httpx.Client(base_url=instance.url) as http:
        yield Wire(instance, http)


@pytest.fixture
def openai(emulator: EmulatorServer) -> Iterator[Wire]:
    """OpenAI behind Kong."""
    instance = emulator.instance(dialect="openai")
    with httpx.Client(base_url=instance.url) as http:
        yield Wire(instance, http)


def wait_for(wire: Wire, batch_id: str, *statuses: str) -> dict[str, Any]:
    deadline = time.monotonic() + 10
    while (batch := wire.batch(batch_id))["status"] not in statuses:
        assert time.monotonic() < deadline, batch
        time.sleep(0.02)
    return batch
