"""Putting an input into a volume: byte for byte, whole or not at all, and in no other file's place."""

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import FIVE, Node, Plugin, begun, jsonl
from tests.support import build
from tests.support.apiserver import ApiServer
from tests.support.inprocess import kubeconfig

NEVER = "https://kong.invalid"
COPY = ("--gateway", "kong", "--claim", "data/in/b.jsonl", "--copy", "--image", "any:1")
Instead = Callable[[dict[str, str]], None]


@pytest.fixture
def instead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Instead:
    """Have the pod run scripts in place of programs."""

    def put(scripts: dict[str, str]) -> None:
        folder = tmp_path / "bin"
        folder.mkdir()
        for name, script in scripts.items():
            (folder / name).write_text(f"#!/bin/sh\n{script}\n")
            (folder / name).chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    return put


async def test_a_file_is_copied_into_a_volume_byte_for_byte(
    api: ApiServer, plugin: Plugin, node: Node, tmp_path: Path
) -> None:
    api.put("batchgateways", build.batchgateway(NEVER))
    volume, file = node.volume, tmp_path / "large.jsonl"
    file.write_bytes(jsonl(*map(str, range(20)), prompt="x" * 100_000).replace(b"\n", b"\r\n"))
    arguments = ["submit", str(file), "--gateway", "kong", "--claim", "data/in/b.jsonl", "--copy", "--image", "any:1"]
    ran = await plugin(*arguments)
    assert ran.code == 0, ran
    assert (volume / "in" / "b.jsonl").read_bytes() == file.read_bytes()
    assert [path.name for path in (volume / "in").iterdir()] == ["b.jsonl"]
    assert (len(node.execs.made), node.pods()) == (1, []), "the pod is deleted"
    ran = await plugin(*arguments, "--name", "again")
    assert ran.code == 2
    assert "data/in/b.jsonl: there is a file of that name, which is not overwritten" in ran.err
    assert api.get("batchjobs", "again") is None


@pytest.mark.parametrize("source", ["standard input", "a pipe"])
async def test_what_comes_once_is_checked_and_copied(
    source: str, api: ApiServer, plugin: Plugin, node: Node, tmp_path: Path
) -> None:
    api.put("batchgateways", build.batchgateway(NEVER))
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    given = "-" if source == "standard input" else str(pipe)
    running = asyncio.create_task(plugin("submit", given, *COPY, stdin=FIVE))
    if source == "a pipe":
        await asyncio.to_thread(pipe.write_bytes, FIVE)
    ran = await running
    assert ran.code == 0, ran
    assert (node.volume / "in" / "b.jsonl").read_bytes() == FIVE


async def test_a_copy_takes_the_place_of_no_file_and_leaves_none_behind(
    node: Node, prompts: Path, instead: Instead
) -> None:
    node.api.put("batchgateways", build.batchgateway(NEVER))
    folder = node.volume / "in"
    folder.mkdir()
    (folder / "b.jsonl.part").write_bytes(b"a person's own")
    instead({"sha256sum": f'echo theirs > "{folder}/b.jsonl"; exec /usr/bin/sha256sum'})
    ran = await node.plugin("submit", str(prompts), *COPY)
    assert ran.code == 2
    assert "there is a file of that name, which is not overwritten" in ran.err
    left = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert left == {"b.jsonl": b"theirs\n", "b.jsonl.part": b"a person's own"}


@pytest.mark.parametrize(
    ("programs", "code"),
    [
        pytest.param({"ln": "exit 1"}, 0, id="a volume without links"),
        pytest.param({"sha256sum": "[ ! -f /dev/stdin ] && exec /usr/bin/sha256sum"}, 0, id="it is not read again"),
        pytest.param({"tee": "cat; exit 1"}, 2, id="a volume that is full"),
    ],
)
async def test_a_copy_is_whole_or_not_there(
    programs: dict[str, str], code: int, node: Node, prompts: Path, instead: Instead
) -> None:
    node.api.put("batchgateways", build.batchgateway(NEVER))
    instead(programs)
    ran = await node.plugin("submit", str(prompts), *COPY)
    assert ran.code == code, ran
    assert [path.read_bytes() for path in (node.volume / "in").iterdir()] == ([FIVE] if code == 0 else [])


async def test_an_interrupted_copy_ends_its_command_before_it_deletes_the_pod(
    node: Node, tmp_path: Path, instead: Instead
) -> None:
    """Killed with its pod, the command could not take away what it has written of the file."""
    node.api.put("batchgateways", build.batchgateway(NEVER))
    instead({"head": f'while [ ! -e "{tmp_path}/go" ]; do sleep 0.01; done; exec /usr/bin/head "$@"'})
    file = tmp_path / "large.jsonl"
    file.write_bytes(jsonl(*map(str, range(30)), prompt="x" * 1_000_000))
    held = node.api.fault("hold", "delete", "pods")
    process = await begun(kubeconfig(node.api, tmp_path), "submit", str(file), *COPY)
    folder = node.volume / "in"
    while not list(folder.glob(".llmbatch-*.part")):  # noqa: ASYNC110 - another process' doing
        await asyncio.sleep(0.01)
    process.send_signal(signal.SIGINT)
    (tmp_path / "go").touch()
    for _ in range(1000):
        if not list(folder.iterdir()):
            break
        await asyncio.sleep(0.01)
    left = list(folder.iterdir())
    held.released.set()
    assert await process.wait() == 128 + signal.SIGINT
    assert (left, node.pods()) == ([], [])
