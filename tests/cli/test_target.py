"""Which cluster and namespace a command is about: as kubectl has it."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import test_utils, web

from tests.cli.conftest import Ran, run
from tests.support import build
from tests.support.apiserver import ApiServer
from tests.support.inprocess import kubeconfig


@pytest.fixture
def config(api: ApiServer, tmp_path: Path) -> str:
    """A kubeconfig with a context `here` of namespace team-b, and one `there` of none; in team-b there is a job."""
    api.put("batchjobs", {**build.batchjob(namespace="team-b"), "status": build.ended().dump()})
    path = Path(kubeconfig(api, tmp_path))
    written: dict[str, Any] = yaml.safe_load(path.read_text())
    (here,) = written["contexts"]
    there = {"name": "there", "context": dict(here["context"])}
    here["context"]["namespace"] = "team-b"
    written["contexts"] = [here, there]
    path.write_text(yaml.safe_dump(written))
    return str(path)


async def watched(config: str, *options: str) -> Ran:
    return await asyncio.to_thread(run, ["watch", "job", "--kubeconfig", config, *options])


async def test_the_namespace_is_the_contexts_unless_one_is_named(config: str) -> None:
    assert (await watched(config)).code == 0
    assert "BatchJob team-a/job does not exist" in (await watched(config, "-n", "team-a")).err
    assert "BatchJob default/job does not exist" in (await watched(config, "--context", "there")).err
    assert (await watched(config, "--context", "there", "--namespace", "team-b")).code == 0


async def test_a_context_that_is_not_in_the_kubeconfig_is_told_of(config: str) -> None:
    ran = await watched(config, "--context", "nowhere")
    assert ran.code == 2
    assert f"kubeconfig {config} can't be used: " in ran.err
    assert "nowhere" in ran.err


BROKEN = {
    "no text": b"\xff\xfe\x00",
    "no YAML": b"a: [\nb",
    "a list": b"- a\n",
    "a word": b"hello\n",
    "nothing": b"",
    "a user of a kind that there is no more": yaml.safe_dump(
        {
            "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": "https://api.invalid"}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
            "users": [{"name": "c", "user": {"auth-provider": {"name": "gcp"}}}],
        }
    ).encode(),
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
async def test_a_kubeconfig_that_is_none_is_told_of_in_a_line(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_bytes(content)
    ran = await watched(str(path))
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, b"", 1)
    assert ran.err.startswith(f"error: kubeconfig {path} can't be used: ")


@pytest.fixture
def of_a_number(config: str) -> str:
    """The same kubeconfig with a namespace that YAML takes for a number."""
    path = Path(config)
    path.write_text(path.read_text().replace("namespace: team-b", "namespace: 2024"))
    return config


async def test_a_namespace_that_yaml_takes_for_a_number_is_one(of_a_number: str) -> None:
    assert "BatchJob 2024/job does not exist" in (await watched(of_a_number)).err


@pytest.fixture
def without_current(config: str) -> str:
    """The same kubeconfig without a current context."""
    path = Path(config)
    written: dict[str, Any] = yaml.safe_load(path.read_text())
    del written["current-context"]
    path.write_text(yaml.safe_dump(written))
    return config


async def test_a_context_that_is_named_needs_no_current_one(without_current: str) -> None:
    assert (await watched(without_current, "--context", "here")).code == 0
    assert f"kubeconfig {without_current} can't be used: " in (await watched(without_current)).err


@pytest.mark.parametrize("command", ["watch", "results", "errors", "retry"])
async def test_an_empty_name_is_none(command: str, config: str) -> None:
    ran = await asyncio.to_thread(run, [command, "", "--kubeconfig", config])
    assert (ran.code, ran.out) == (2, b"")
    assert "error: a name is empty where one of batchjobs is to be named" in ran.err


@pytest.mark.parametrize("name", ["job/status", "..", "a?b", "a#b", "Job", "caf\udce9"])
async def test_what_can_be_no_name_leads_nowhere(name: str, api: ApiServer, config: str) -> None:
    told = f"{name!r} is no name that an object can have"
    ran = await asyncio.to_thread(run, ["results", name, "--kubeconfig", config])
    assert (ran.code, ran.out) == (2, b"")
    assert f"error: batchjobs: {told}" in ran.err
    ran = await asyncio.to_thread(run, ["results", "job", "--kubeconfig", config, "-n", name])
    assert (ran.code, ran.out) == (2, b"")
    assert f"error: namespace: {told}" in ran.err
    assert api.calls == []


async def test_the_kubeconfig_is_the_one_of_the_environment(config: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", f"/nowhere/config:{config}")
    assert (await asyncio.to_thread(run, ["watch", "job"])).code == 0


REFUSALS = {
    "a login page": (401, "<html>Log in</html>", "error: status 401; log in again: "),
    "a proxy that is told no": (403, "Forbidden", "error: status 403: Forbidden\n"),
    "an API server that is busy": (429, "Too many requests, please try again later.\n", "error: status 429: Too many"),
    "one that comes up": (503, "", "error: status 503\n"),
    "something else that answers": (200, "<html>Welcome</html>", " is no API server\n"),
}
"""Answers that are no JSON."""


@pytest.mark.parametrize("found", REFUSALS)
async def test_a_refusal_in_other_words_than_kubernetes_is_told_for_what_it_is(found: str, tmp_path: Path) -> None:
    status, text, told = REFUSALS[found]

    async def answered(_: web.Request) -> web.Response:
        return web.Response(status=status, text=text)

    server = test_utils.TestServer(web.Application())
    server.app.router.add_get("/{path:.*}", answered)
    async with server:
        there = ApiServer()
        there.url = str(server.make_url("/")).rstrip("/")
        config = kubeconfig(there, tmp_path)
        ran = await asyncio.to_thread(run, ["results", "job", "--kubeconfig", config])
    assert (ran.code, ran.out) == (2, b"")
    assert told in ran.err


@pytest.mark.parametrize("command", ["watch", "results", "errors", "retry"])
async def test_where_llmbatch_is_not_installed_the_remedy_is_to_install_it(
    command: str, api: ApiServer, config: str
) -> None:
    api.unserved = {"batchjobs", "batchgateways"}
    ran = await asyncio.to_thread(run, [command, "job", "--kubeconfig", config])
    assert (ran.code, ran.out) == (2, b"")
    assert "could not find the requested resource; install llmbatch's chart in this cluster" in ran.err
