"""What the plugin says of an input is what the operator would say of it, before anything is applied."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from llmbatch.cli.verdict import MOST_ERRORS
from tests.cli.conftest import FIVE, Life, Plugin, jsonl
from tests.cluster.paths import REPOSITORY
from tests.support import build
from tests.support.inprocess import config_map

CORPUS = sorted((REPOSITORY / "tests/fuzz/corpus/input").glob("*.jsonl"))
ODD: dict[str, bytes] = {
    "another model on one line": jsonl("a") + jsonl("b").replace(b"gpt-4o", b"gpt-5"),
    "a line that streams": jsonl("a").replace(b'"model"', b'"stream": true, "model"'),
    "another endpoint": jsonl("a").replace(b"/chat/completions", b"/responses"),
    "Azure's spelling of the endpoint": jsonl("a").replace(b"/v1/chat", b"/chat"),
    "a custom_id of 513 characters": jsonl("a" * 513),
    "UTF-16": FIVE.decode().encode("utf-16"),
    "compressed": b"\x1f\x8b\x08\x00rest",
    "a mark, blank lines and carriage returns": b"\xef\xbb\xbf" + FIVE.replace(b"\n", b" \r\n\r\n"),
    "nothing but white space": b" \n\t\n",
    "a line longer than maxLineBytes": jsonl("a", prompt="x" * 2000),
    "more requests than a file takes": jsonl(*map(str, range(9))),
    "more bytes than a file takes": jsonl("a", "b", "c", "d", "e", prompt="x" * 700),
    "more parts than there may be": jsonl(*map(str, range(401))),
    "a request that alone takes more tokens than there are": jsonl("a").replace(
        b'"model"', b'"max_tokens": 9999, "model"'
    ),
    "a list instead of an object": b'["custom_id"]\n',
    "a number for a custom_id": jsonl("a").replace(b'"a"', b"7"),
}
LIMITS: dict[str, Any] = {
    "maxLineBytes": 1024, "maxRequestsPerFile": 4, "maxFileBytes": 3000, "maxEnqueuedTokens": 3000
}  # fmt: skip


def inputs() -> list[Any]:
    """Give the table."""
    table = {**{path.stem: path.read_bytes() for path in CORPUS}, **ODD}
    return [pytest.param(content, id=name) for name, content in table.items()]


@pytest.mark.parametrize("content", inputs())
async def test_its_verdict_is_the_operators(content: bytes, life: Life, tmp_path: Path) -> None:
    life.api.put("batchgateways", build.batchgateway(life.kong.url, limits=LIMITS))
    place = {"configMap": {"name": "prompts", "key": "batch.jsonl"}}
    if _is_text(content):
        life.api.put("configmaps", config_map("prompts", "batch.jsonl", content))
    else:
        place = {"secret": {"name": "prompts", "key": "batch.jsonl"}}
        life.api.put("secrets", _secret(content))
    life.api.put("batchjobs", build.batchjob(input=place))
    file = tmp_path / "input.jsonl"
    file.write_bytes(content)

    def is_judged() -> bool:
        ready = life.operator.status().condition("Ready")
        return life.operator.status().input is not None or (ready is not None and ready.status == "False")

    await life.operator.until(is_judged)
    ran, status = await life.plugin("validate", str(file), "--gateway", "kong"), life.operator.status()
    ready = status.condition("Ready")
    assert ready is not None
    if status.input is None:
        assert ran.code == 1, (ready.message, ran)
        *told, _ = ran.text.splitlines()
        # The operator tells of the first few faults line by line, or says in one sentence what is wrong with the whole.
        first, *lines = [line for line in ready.message.splitlines() if not line.startswith("… and ")]
        quoted = lines or [first]
        assert [line.removeprefix(f"{file}: ") for line in told[: len(quoted)]] == quoted or first in ran.text
        assert bool(lines) == bool(told)
        return
    assert ran.code == 0, ran
    told_size = (
        f"{status.input.requests} request{'' if status.input.requests == 1 else 's'}, {status.input.bytes} bytes"
    )
    assert told_size in ran.text
    assert f"about {status.input.estimated_tokens} tokens" in ran.text
    parts = status.parts or 1
    assert (", 1 part" if parts == 1 else f", {parts} parts,") in ran.text
    assert ("cleaned" in ran.text) == (status.input.cleaned is True)


def _is_text(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def _secret(content: bytes) -> dict[str, Any]:
    data = {"batch.jsonl": base64.b64encode(content).decode()}
    return {"kind": "Secret", "metadata": {"name": "prompts", "namespace": "team-a"}, "data": data}


async def test_every_fault_is_told_with_its_line_and_what_to_do(plugin: Plugin, tmp_path: Path) -> None:
    file = tmp_path / "input.jsonl"
    file.write_bytes(jsonl("a", "a", "b") + b"{\n" + jsonl(*["c"] * 20))
    ran = await plugin("validate", str(file))
    assert ran.code == 1
    *faults, last = ran.text.splitlines()
    assert len(faults) == 21, "not only the ten that a report has room for"
    assert faults[0] == f'{file}: line 2, custom_id: "a" is already on line 1; give every line a custom_id of its own'
    assert faults[1].startswith(f"{file}: line 4: the line is not valid JSON")
    assert last == f"{file}: invalid: 21 faults in 24 requests"


async def test_an_input_with_nothing_but_faults_is_told_of_within_bounds(plugin: Plugin, tmp_path: Path) -> None:
    file = tmp_path / "input.jsonl"
    file.write_bytes(b"{\n" * (MOST_ERRORS + 5))
    ran = await plugin("validate", str(file))
    lines = ran.text.splitlines()
    assert (ran.code, len(lines)) == (1, MOST_ERRORS + 2)
    assert lines[-2] == f"{file}: 5 more faulty lines"


async def test_no_prompt_is_shown(plugin: Plugin, tmp_path: Path) -> None:
    file = tmp_path / "input.jsonl"
    file.write_bytes(jsonl("a", "a", prompt="SECRET").replace(b"}}", b"}"))
    ran = await plugin("validate", str(file))
    assert ran.code == 1
    assert "SECRET" not in ran.text + ran.err


async def test_without_a_gateway_no_cluster_is_needed(tmp_path: Path, prompts: Path) -> None:
    ran = await Plugin(str(tmp_path / "nowhere"))("validate", str(prompts))
    assert (ran.code, ran.err) == (0, "")
    assert "5 requests" in ran.text


async def test_standard_input_is_read(plugin: Plugin) -> None:
    assert "5 requests" in (await plugin("validate", "-", stdin=FIVE)).text


async def test_the_endpoint_and_the_model_count_as_in_the_spec(plugin: Plugin, tmp_path: Path) -> None:
    line = {"custom_id": "a", "method": "POST", "url": "/v1/responses", "body": {"input": "Hello."}}
    file = tmp_path / "input.jsonl"
    file.write_text(json.dumps(line))
    assert (await plugin("validate", str(file))).code == 1
    assert (await plugin("validate", str(file), "--endpoint", "/v1/responses")).code == 1
    assert (await plugin("validate", str(file), "--endpoint", "/v1/responses", "--model", "gpt-4o")).code == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        pytest.param(["/nowhere/input.jsonl"], "/nowhere/input.jsonl: No such file or directory", id="the file"),
        pytest.param(["{file}", "--gateway", "kong"], "BatchGateway team-a/kong does not exist", id="the gateway"),
        pytest.param(["{file}", "--endpoint", "chat"], "would not be accepted: endpoint: ", id="the endpoint"),
    ],
)
async def test_what_is_wrong_with_the_command_is_named(
    arguments: list[str], told: str, plugin: Plugin, prompts: Path
) -> None:
    ran = await plugin("validate", *(argument.format(file=prompts) for argument in arguments))
    assert ran.code == 2
    assert told in ran.err


async def test_a_model_that_is_empty_is_refused_and_not_sent_in_place_of_the_lines_own(
    plugin: Plugin, prompts: Path
) -> None:
    ran = await plugin("validate", str(prompts), "--model", "")
    assert (ran.code, ran.out) == (2, b"")
    assert "error: the BatchJob would not be accepted: model: String should have at least 1 character" in ran.err
