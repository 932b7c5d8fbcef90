"""Every documented reason for which an input is refused, in the words of each dialect."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.emulator.conftest import Wire, jsonl, request_line
from tests.emulator.server import EmulatorServer


def errors(batch: dict[str, Any]) -> list[tuple[str, object]]:
    assert batch["status"] == "failed", batch
    assert batch["errors"]["object"] == "list"
    return [(entry["code"], entry.get("line")) for entry in batch["errors"]["data"]]


def with_body(custom_id: str, **changes: object) -> dict[str, Any]:
    line = request_line(custom_id)
    line["body"] = {**line["body"], **changes}
    return line


GOOD = request_line("good")
NO_CUSTOM_ID = {key: value for key, value in GOOD.items() if key != "custom_id"}
NO_MODEL = with_body("x")
del NO_MODEL["body"]["model"]

AZURE = {
    "bad JSON": (jsonl(GOOD, "{nonsense"), {}, [("invalid_json_line", "2")]),
    "too many requests": (
        jsonl(GOOD, request_line("b"), request_line("c")),
        {"max_lines": 2},
        [("too_many_tasks", None)],
    ),
    "another URL": (jsonl(request_line("a", url="/v1/embeddings")), {}, [("url_mismatch", "1")]),
    "no such deployment": (jsonl(GOOD), {"models": ["gpt-5"]}, [("model_not_found", "1")]),
    "a repeated custom_id": (jsonl(GOOD, GOOD), {}, [("duplicate_custom_id", "2")]),
    "an empty file": (b"", {}, [("empty_file", None)]),
    "blank lines only": (b"\n\n", {}, [("empty_file", None)]),
    "two deployments": (jsonl(GOOD, with_body("b", model="gpt-5")), {}, [("model_mismatch", "2")]),
    "a bad line": (jsonl(NO_CUSTOM_ID), {}, [("invalid_request", "1")]),
    "streaming": (jsonl(with_body("a", stream=True)), {}, [("invalid_request", "1")]),
    "a byte-order mark": (b"\xef\xbb\xbf" + jsonl(GOOD), {}, [("invalid_request", None)]),
    "many at once": (
        jsonl("nonsense", GOOD, GOOD, NO_MODEL, request_line("z", url="/v1/embeddings")),
        {},
        [("invalid_json_line", "1"), ("duplicate_custom_id", "3"), ("invalid_request", "4"), ("url_mismatch", "5")],
    ),
    "input modified": (
        jsonl(GOOD),
        {"forced_errors": [{"code": "input_modified"}, {"code": "input_no_permissions", "line": 3}]},
        [("input_modified", None), ("input_no_permissions", "3")],
    ),
}
OPENAI = {
    "bad JSON": (jsonl(GOOD, "{nonsense"), {}, [("invalid_json_line", 2)]),
    "no custom_id": (jsonl(NO_CUSTOM_ID), {}, [("missing_required_parameter", 1)]),
    "streaming": (jsonl(with_body("a", stream=True)), {}, [("streaming_unsupported", 1)]),
    "another URL": (jsonl(request_line("a", url="/v1/embeddings")), {}, [("invalid_url", 1)]),
    "no such model": (jsonl(GOOD), {"models": ["gpt-5"]}, [("model_not_found", 1)]),
    "no model": (jsonl(NO_MODEL), {}, [("invalid_request", 1)]),
}


@pytest.mark.parametrize(("content", "config", "expected"), list(AZURE.values()), ids=list(AZURE))
def test_azure_fails_a_batch_with(
    azure: Wire, content: bytes, config: dict[str, object], expected: list[tuple[str, object]]
) -> None:
    azure.instance.configure(**config)
    batch = azure.finish(content)
    assert errors(batch) == expected
    assert batch["failed_at"] is None
    assert batch["completed_at"] is not None


@pytest.mark.parametrize(("content", "config", "expected"), list(OPENAI.values()), ids=list(OPENAI))
def test_openai_fails_a_batch_with(
    openai: Wire, content: bytes, config: dict[str, object], expected: list[tuple[str, object]]
) -> None:
    openai.instance.configure(**config)
    batch = openai.finish(content)
    assert errors(batch) == expected
    assert batch["failed_at"] is not None


def test_azures_empty_file_has_the_documented_entry(azure: Wire) -> None:
    message = "The input file is empty. Please ensure that the batch contains at least one request."
    assert azure.finish(b"")["errors"]["data"] == [{"code": "empty_file", "message": message}]


def test_azure_takes_lines_with_and_an_endpoint_without_v1(azure: Wire) -> None:
    assert azure.finish(jsonl(GOOD), endpoint="/chat/completions")["status"] == "completed"


def test_an_unknown_file_is_refused_by_azure_and_fails_the_batch_on_openai(azure: Wire, openai: Wire) -> None:
    refused = azure.create("file-none")
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "invalidPayload")
    batch = openai.create("file-none").json()
    openai.instance.advance(10)
    entry = openai.batch(batch["id"])["errors"]["data"][0]
    assert (entry["code"], entry["param"], entry["line"]) == ("invalid_request", "file_id", None)
    assert entry["message"].startswith("Cannot find file file-none, or")


def test_a_pending_file_is_refused_until_it_is_processed(azure: Wire) -> None:
    azure.instance.configure(file_pending_seconds=60)
    file = azure.upload(jsonl(GOOD)).json()
    assert file["status"] == "pending"
    refused = azure.create(file["id"])
    assert refused.status_code == 400
    assert f"The input file '{file['id']}' is in 'pending' state." in refused.json()["error"]["message"]
    azure.instance.advance(61)
    assert azure.create(file["id"]).is_success


def test_a_file_can_end_in_error(azure: Wire) -> None:
    azure.instance.configure(file_final_status="error", file_status_details="It broke.")
    shown = azure.upload(jsonl(GOOD)).json()
    assert (shown["status"], shown["status_details"]) == ("error", "It broke.")


def test_another_window_fails_on_azure_and_is_refused_by_openai(azure: Wire, openai: Wire) -> None:
    assert errors(azure.finish(jsonl(GOOD), completion_window="1h")) == [("invalid_request", None)]
    refused = openai.create("file-none", completion_window="1h")
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "completion_window")


@pytest.mark.parametrize(
    "metadata",
    [
        pytest.param({f"k{number}": "v" for number in range(17)}, id="17 pairs"),
        pytest.param({"k" * 65: "v"}, id="a key of 65 characters"),
        pytest.param({"k": "v" * 513}, id="a value of 513 characters"),
        pytest.param({"tags": ["a"]}, id="a list"),
    ],
)
def test_metadata_over_the_limits_is_refused(azure: Wire, openai: Wire, metadata: dict[str, object]) -> None:
    for wire in (azure, openai):
        file_id = wire.upload(jsonl(GOOD)).json()["id"]
        assert wire.create(file_id, metadata=metadata).status_code == 400


def test_openai_names_the_type_of_the_wrong_metadata(openai: Wire) -> None:
    error = openai.create("file-none", metadata={"tags": ["a"]}).json()["error"]
    assert (error["param"], error["code"]) == ("metadata.tags", "invalid_type")


@pytest.mark.parametrize(("fail_fast", "outcome"), [(True, "refused"), (False, "failed")])
def test_the_token_quota_counts_the_batches_that_are_not_over(
    emulator: EmulatorServer, fail_fast: bool, outcome: str
) -> None:
    instance = emulator.instance(quota_tokens=90, quota_fail_fast=fail_fast, in_progress_seconds=1000)
    with httpx.Client(base_url=instance.url) as http:
        wire = Wire(instance, http)
        content = jsonl(GOOD)  # about 60 tokens
        first = wire.create(wire.upload(content).json()["id"])
        assert int(first.headers["deployment-enqueued-tokens"]) == len(content) // 4
        assert first.headers["deployment-maximum-enqueued-tokens"] == "90"
        second = wire.create(wire.upload(content).json()["id"])
        if outcome == "refused":
            assert second.status_code == 400
            assert second.json()["error"]["code"] == "token_limit_exceeded"
        else:
            instance.advance(1)
            assert errors(wire.batch(second.json()["id"])) == [("token_limit_exceeded", None)]
        instance.advance(2000)
        assert wire.finish(content)["status"] == "completed"


def test_uploads_are_refused_with_the_documented_errors(azure: Wire, openai: Wire) -> None:
    no_type = b'--x\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--x\r\nContent-Disposition: form-data; name="file"; filename="a.jsonl"\r\n\r\n{}\r\n--x--\r\n'
    answer = azure.http.post("/files", content=no_type, headers={"Content-Type": "multipart/form-data; boundary=x"})
    assert answer.json()["error"]["message"] == "The file has no or an empty content type specified."
    azure.instance.configure(max_files=1, max_file_bytes=1000)
    assert azure.upload(jsonl(GOOD)).status_code == 201
    assert azure.upload(jsonl(GOOD)).json()["error"]["code"] == "quotaExceeded"
    seconds = {"expires_after.anchor": "created_at", "expires_after.seconds": "1209600"}
    assert azure.upload(jsonl(GOOD), **seconds).json()["expires_at"]
    assert azure.upload(jsonl(GOOD), **{"expires_after[anchor]": "created_at", "expires_after[seconds]": "5"}).is_error
    assert azure.upload(b"x" * 1001, **seconds).json()["error"]["message"] == "File is too large."
    message = "Invalid file format for Batch API. Must be .jsonl"
    assert openai.upload(jsonl(GOOD), filename="a.txt").json()["error"]["message"] == message
    assert openai.upload(b"nonsense\n").json()["error"]["message"] == message
