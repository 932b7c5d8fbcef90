"""Making BatchJobs of files: valid ones only, and nothing that exists is touched."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from llmbatch.api.batchjob import MAX_OBJECT_BYTES
from tests.cli.conftest import FIVE, Plugin, jsonl, run
from tests.emulator.client import Instance
from tests.support import build
from tests.support.apiserver import ApiServer
from tests.support.inprocess import Operator, config_map

NEVER = "https://kong.invalid"


def written(api: ApiServer) -> list[str]:
    """Name what was written of what people write."""
    return [call.plural for call in api.calls if call.writes]


async def test_a_file_becomes_results(
    operator: Operator, api: ApiServer, kong: Instance, plugin: Plugin, prompts: Path
) -> None:
    api.put("batchgateways", build.batchgateway(kong.url))
    ran = await plugin("submit", str(prompts), "--gateway", "kong", "--ready-when", "Submitted")
    assert ran.code == 0, ran
    assert ran.text.splitlines() == ["configmap/prompts-input created", "batchjob.llmbatch.io/prompts created"]
    assert "5 requests" in ran.err
    job = operator.job("prompts")
    assert job["spec"] == {
        "gatewayRef": {"name": "kong"},
        "readyWhen": "Submitted",
        "input": {"configMap": {"name": "prompts-input", "key": "batch.jsonl"}},
        "output": {"secret": {"name": "prompts-results", "key": "results.jsonl"}},
    }
    assert api.data("configmaps", "prompts-input", "batch.jsonl") == FIVE
    await operator.until(lambda: operator.status("prompts").summary.submission_time, "prompts")
    kong.advance(3600)
    assert (await operator.until_ended("prompts")).holds("Complete")
    assert len(api.data("secrets", "prompts-results", "results.jsonl").splitlines()) == 5


async def test_of_an_invalid_file_nothing_is_made(api: ApiServer, plugin: Plugin, tmp_path: Path) -> None:
    api.put("batchgateways", build.batchgateway(NEVER))
    file = tmp_path / "prompts.jsonl"
    file.write_bytes(jsonl("a", "a"))
    ran = await plugin("submit", str(file), "--gateway", "kong")
    assert (ran.code, ran.text, written(api)) == (1, "", [])
    assert 'line 2, custom_id: "a" is already on line 1' in ran.err


async def test_the_gateways_limits_count(api: ApiServer, plugin: Plugin, prompts: Path) -> None:
    api.put("batchgateways", build.batchgateway(NEVER, limits={"maxEnqueuedTokens": 10}))
    ran = await plugin("submit", str(prompts), "--gateway", "kong")
    assert (ran.code, written(api)) == (1, [])
    assert "maxEnqueuedTokens is 10" in ran.err


@pytest.mark.parametrize("taken", ["batchjobs", "configmaps"])
async def test_what_has_the_name_already_is_left_as_it_is(
    taken: str, api: ApiServer, plugin: Plugin, prompts: Path
) -> None:
    api.put("batchgateways", build.batchgateway(NEVER))
    there = build.batchjob("prompts") if taken == "batchjobs" else config_map("prompts-input", "batch.jsonl", b"{}\n")
    before = api.put(taken, there)
    ran = await plugin("submit", str(prompts), "--gateway", "kong")
    assert ran.code == 2
    assert "exists already, and is left as it is: give another --name" in ran.err
    name = before["metadata"]["name"]
    assert api.get(taken, name) == before
    assert {found["metadata"]["name"] for kind in ("batchjobs", "configmaps") for found in api.objects(kind)} == {name}


async def test_a_batchjob_that_is_refused_at_last_leaves_no_input_behind(
    api: ApiServer, plugin: Plugin, prompts: Path
) -> None:
    api.put("batchgateways", build.batchgateway(NEVER))
    # The trial goes through; then a policy changes.
    api.fault("status", "create", "batchjobs", status=403, where=lambda _: bool(api.objects("configmaps")))
    ran = await plugin("submit", str(prompts), "--gateway", "kong")
    assert (ran.code, api.objects("configmaps"), api.objects("batchjobs")) == (2, [], [])
    assert written(api) == ["configmaps", "batchjobs", "configmaps", "batchjobs", "configmaps"]


async def test_a_batchjob_whose_create_call_is_not_answered_keeps_its_input(
    api: ApiServer, plugin: Plugin, prompts: Path
) -> None:
    api.put("batchgateways", build.batchgateway(NEVER))
    api.fault("cut after", "create", "batchjobs", where=lambda _: bool(api.objects("configmaps")))
    ran = await plugin("submit", str(prompts), "--gateway", "kong")
    assert (ran.code, len(api.objects("batchjobs"))) == (2, 1)
    assert api.data("configmaps", "prompts-input", "batch.jsonl") == FIVE
    assert "whether BatchJob team-a/prompts was made is not known: look before you submit it again" in ran.err


async def test_an_input_that_no_configmap_holds_is_refused_with_the_way_out(
    api: ApiServer, plugin: Plugin, tmp_path: Path
) -> None:
    api.put("batchgateways", build.batchgateway(NEVER))
    file = tmp_path / "prompts.jsonl"
    file.write_bytes(jsonl("a", prompt="x" * MAX_OBJECT_BYTES))
    ran = await plugin("submit", str(file), "--gateway", "kong")
    assert (ran.code, written(api)) == (2, [])
    assert "--claim CLAIM/PATH --copy" in ran.err


@pytest.mark.parametrize("dry", [[], ["--dry-run"]])
async def test_an_input_that_no_configmap_holds_is_not_read(
    dry: list[str], api: ApiServer, plugin: Plugin, tmp_path: Path
) -> None:
    api.put("batchgateways", build.batchgateway(NEVER))
    file = tmp_path / "prompts.jsonl"
    with file.open("wb") as huge:
        huge.truncate(2**40)
    ran = await plugin("submit", str(file), "--gateway", "kong", *dry)
    assert (ran.code, written(api)) == (2, [])
    assert f"the input has {2**40} bytes" in ran.err
    assert "--claim CLAIM/PATH --copy" in ran.err


async def test_an_input_in_a_volume_is_taken_to_be_there(api: ApiServer, plugin: Plugin, prompts: Path) -> None:
    api.put("batchgateways", build.batchgateway(NEVER))
    options = ["--claim", "data/in/b.jsonl", "--output-claim", "data/out/r.jsonl"]
    assert (await plugin("submit", str(prompts), "--gateway", "kong", *options)).code == 0
    assert (await plugin("submit", "--gateway", "kong", "--name", "unseen", *options)).code == 0
    for name in ("prompts", "unseen"):
        spec = (api.get("batchjobs", name) or {})["spec"]
        assert spec["input"] == {"persistentVolumeClaim": {"claimName": "data", "path": "in/b.jsonl"}}
        assert spec["output"] == {"persistentVolumeClaim": {"claimName": "data", "path": "out/r.jsonl"}}
    assert written(api) == ["batchjobs"] * 4, "a trial and the thing itself, twice; no ConfigMap, no pod"


async def test_an_input_that_can_not_be_taken_back_does_not_hide_why_the_job_was_refused(
    api: ApiServer, plugin: Plugin, prompts: Path
) -> None:
    api.put("batchgateways", build.batchgateway(NEVER))
    api.fault("status", "create", "batchjobs", status=422, where=lambda _: bool(api.objects("configmaps")))
    api.fault("status", "delete", "configmaps", status=403)
    ran = await plugin("submit", str(prompts), "--gateway", "kong")
    assert ran.code == 2
    assert "configmaps/prompts-input may be left: made to fail" in ran.err
    assert ran.err.endswith("error: made to fail\n")


async def test_a_gateway_that_is_not_there_is_named_also_where_none_may_be_listed(
    api: ApiServer, plugin: Plugin, prompts: Path
) -> None:
    api.fault("status", "list", "batchgateways", status=403)
    ran = await plugin("submit", str(prompts), "--gateway", "kong")
    assert ran.code == 2
    assert "BatchGateway team-a/kong does not exist: apply it, or name another one (those that are there" in ran.err


async def test_a_dry_run_writes_what_would_be_made_and_touches_nothing(
    api: ApiServer, plugin: Plugin, prompts: Path
) -> None:
    api.put("batchgateways", build.batchgateway(NEVER))
    ran = await plugin("submit", str(prompts), "--gateway", "kong", "--dry-run", "-o", "yaml")
    assert (ran.code, written(api)) == (0, [])
    prompts_map, job = yaml.safe_load_all(ran.text)
    assert prompts_map["data"]["batch.jsonl"].encode() == FIVE
    assert '\n    {"custom_id": "two", ' in ran.text, "a line of the input is a line in Git"
    assert job["metadata"] == {"name": "prompts", "namespace": "team-a"}
    await plugin("submit", str(prompts), "--gateway", "kong")
    made = api.get("batchjobs", "prompts")
    assert made is not None
    assert job["spec"] == made["spec"], "what is applied from Git is what would have been made"


async def test_a_dry_run_needs_no_cluster_and_says_which_limits_it_went_by(tmp_path: Path, prompts: Path) -> None:
    ran = await Plugin(str(tmp_path / "nowhere"))("submit", str(prompts), "--gateway", "kong", "--dry-run")
    assert ran.code == 0
    assert len(list(yaml.safe_load_all(ran.text))) == 2
    assert "warning: the limits of a BatchGateway that says nothing of them count" in ran.err


@pytest.mark.parametrize(
    "text",
    ["a trailing blank ", "\u2028 and \u0085", "\ufeff", "tab\tand \u00e9 \U0001f600", "# no comment", "--- ", "'\"|>"],
)
async def test_what_is_written_for_git_is_the_input_byte_for_byte(text: str, plugin: Plugin, tmp_path: Path) -> None:
    file = tmp_path / "prompts.jsonl"
    line = json.loads(jsonl("a"))
    line["body"]["messages"][0]["content"] = text
    content = b"\n".join(
        [json.dumps(line, ensure_ascii=False).encode(), b"  ", jsonl("b").replace(b"\n", b" \r\n"), b""]
    )
    for given in (content, content.replace(b"\r", b"")):
        file.write_bytes(given)
        ran = await plugin("submit", str(file), "--gateway", "kong", "--dry-run")
        assert ran.code == 0, ran
        first, _ = yaml.safe_load_all(ran.text)
        assert first["data"]["batch.jsonl"].encode() == given


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "there is no input: name a FILE, or with --claim"),
        (["{file}", "--copy"], "--copy needs --claim"),
        (["-"], "give the BatchJob one with --name"),
        (["{file}", "--output-secret", "a", "--output-configmap", "b"], "results go to one place"),
        (["{file}", "--output-claim", "data"], "--output-claim 'data' names no file in a volume"),
        (["{file}", "--claim", "data/../x"], "--claim 'data/../x' names no file in a volume"),
        (["{file}", "--name", "No_Name"], "--name: 'No_Name' is no name that an object can have"),
        (["--claim", "data/a", "--output-secret", "r", "--name", "a."], "--name: 'a.' is no name"),
        (["{file}", "--output-secret", "No_Name"], "would not be accepted: output.secret.name: "),
        (["{file}", "--claim", "data/a.jsonl", "--output-claim", "data/a.jsonl"], "is the input's own"),
        (["{file}", "--gateway", "other"], "BatchGateway team-a/other does not exist: apply it, or name another one (there: kong)"),
    ],
)  # fmt: skip
async def test_what_is_wrong_with_the_command_is_named_and_nothing_made(
    arguments: list[str], told: str, api: ApiServer, plugin: Plugin, prompts: Path
) -> None:
    api.put("batchgateways", build.batchgateway(NEVER))
    ran = await plugin("submit", "--gateway", "kong", *(argument.format(file=prompts) for argument in arguments))
    assert (ran.code, written(api)) == (2, [])
    assert told in ran.err


async def test_what_the_api_server_refuses_is_told_in_its_words(api: ApiServer, plugin: Plugin, prompts: Path) -> None:
    api.put("batchgateways", build.batchgateway(NEVER))
    api.fault("status", "create", "batchjobs", status=422)
    ran = await plugin("submit", str(prompts), "--gateway", "kong")
    assert (ran.code, api.objects("configmaps")) == (2, [])
    assert "error: made to fail" in ran.err


async def test_large_results_are_warned_of(api: ApiServer, plugin: Plugin, tmp_path: Path) -> None:
    api.put("batchgateways", build.batchgateway(NEVER))
    file = tmp_path / "prompts.jsonl"
    file.write_bytes(jsonl(*map(str, range(5000))))
    ran: Any = await plugin("submit", str(file), "--gateway", "kong")
    assert ran.code == 0
    assert "warning: The results of 5000 requests will hardly fit into a Secret" in ran.err


@pytest.mark.parametrize("dry", [[], ["--dry-run"]])
@pytest.mark.parametrize("key", ["", "/batch.jsonl", "/other.jsonl"])
async def test_results_go_into_no_object_that_the_input_is_in(
    dry: list[str], key: str, api: ApiServer, plugin: Plugin, prompts: Path
) -> None:
    """The API server refuses only the same key; of any other the operator says so when the job is there."""
    api.put("batchgateways", build.batchgateway(NEVER))
    ran = await plugin("submit", str(prompts), "--gateway", "kong", "--output-configmap", f"prompts-input{key}", *dry)
    assert (ran.code, ran.text, written(api)) == (2, "", [])
    assert "ConfigMap prompts-input is made for the input" in ran.err
    assert "--output-configmap" in ran.err


def test_a_dry_run_writes_no_namespace_that_can_not_be(tmp_path: Path, prompts: Path) -> None:
    where = ["--kubeconfig", str(tmp_path / "nowhere"), "-n", "A b"]
    ran = run(["submit", str(prompts), "--gateway", "kong", "--dry-run", *where])
    assert (ran.code, ran.text) == (2, "")
    assert "namespace: 'A b' is no name" in ran.err


@pytest.mark.parametrize("option", ["--output-secret", "--output-configmap", "--output-claim", "--claim", "--name"])
def test_an_option_that_is_empty_is_not_taken_for_one_that_was_left_out(
    option: str, tmp_path: Path, prompts: Path
) -> None:
    """As by a variable of a script that is not set: the results would go where nobody looks for them."""
    where = ["--kubeconfig", str(tmp_path / "nowhere")]
    ran = run(["submit", str(prompts), "--gateway", "kong", "--dry-run", option, "", *where])
    assert (ran.code, ran.text) == (2, "")
    assert f"{option}" in ran.err
