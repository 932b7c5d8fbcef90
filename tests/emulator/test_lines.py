"""A line says by its custom_id how it wants to be treated."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.emulator.conftest import Wire, jsonl, request_line


def one(wire: Wire, custom_id: str) -> dict[str, Any]:
    """Finish a batch of that line and a good one."""
    batch = wire.finish(jsonl(request_line("good"), request_line(custom_id)))
    assert batch["status"] == "completed"
    return batch


@pytest.mark.parametrize(
    ("marker", "status"),
    [("--status-400", 400), ("--status-429", 429), ("--status-500", 500), ("--content-filter", 400)],
)
def test_a_failed_line_is_in_the_error_file_with_its_status(azure: Wire, marker: str, status: int) -> None:
    batch = one(azure, f"a{marker}")
    assert batch["request_counts"] == {"total": 2, "completed": 1, "failed": 1}
    (line,) = azure.results(batch["error_file_id"])
    assert (line["custom_id"], line["response"]["status_code"], line["error"]) == (f"a{marker}", status, None)
    assert "error" in line["response"]["body"]


def test_a_status_of_0_counts_as_completed_and_is_in_the_output(azure: Wire) -> None:
    batch = one(azure, "a--status-0")
    assert batch["request_counts"] == {"total": 2, "completed": 2, "failed": 0}
    statuses = {line["custom_id"]: line["response"]["status_code"] for line in azure.results(batch["output_file_id"])}
    assert statuses == {"good": 200, "a--status-0": 0}


def test_a_filtered_completion_is_a_success_with_its_reason(azure: Wire) -> None:
    lines = azure.results(one(azure, "a--filtered-completion")["output_file_id"])
    reasons = {line["custom_id"]: line["response"]["body"]["choices"][0]["finish_reason"] for line in lines}
    assert reasons["a--filtered-completion"] == "content_filter"


def test_missing_duplicate_and_malformed_lines(azure: Wire) -> None:
    ids = ["good", "a--missing", "b--duplicate", "c--malformed"]
    batch = azure.finish(jsonl(*map(request_line, ids)))
    content = azure.http.get(f"/files/{batch['output_file_id']}/content").text
    parsed, broken = [], 0
    for line in content.splitlines():
        try:
            parsed.append(json.loads(line)["custom_id"])
        except ValueError:
            broken += 1
    assert sorted(parsed) == ["b--duplicate", "b--duplicate", "good"]
    assert broken == 1


def test_the_same_can_be_had_by_configuration(azure: Wire) -> None:
    azure.instance.configure(quirks={"missing_lines": 1, "duplicate_lines": 1})
    lines = azure.results(azure.finish(jsonl(*map(request_line, "abc")))["output_file_id"])
    assert sorted(line["custom_id"] for line in lines) == ["b", "b", "c"]


def test_an_expired_line_never_ran(openai: Wire) -> None:
    (line,) = openai.results(one(openai, "a--expired")["error_file_id"])
    assert (line["response"], line["error"]["code"]) == (None, "batch_expired")


def test_a_large_answer_has_the_size_asked_for(azure: Wire) -> None:
    lines = azure.results(one(azure, "a--large-300000")["output_file_id"])
    assert 300_000 in [len(line["response"]["body"]["choices"][0]["message"]["content"]) for line in lines]


def test_without_a_successful_line_there_is_no_output_file(azure: Wire) -> None:
    batch = azure.finish(jsonl(request_line("a--status-400"), request_line("b--status-500")))
    assert batch["status"] == "completed"
    assert batch["output_file_id"] is None
    assert batch["error_file_id"]
    assert batch["request_counts"] == {"total": 2, "completed": 0, "failed": 2}


@pytest.mark.parametrize(
    ("url", "body", "kind", "usage"),
    [
        ("/v1/responses", {"input": "Say hello.", "max_output_tokens": 20}, "response", "output_tokens"),
        ("/v1/embeddings", {"input": ["a", "b"]}, "list", "prompt_tokens"),
        ("/v1/completions", {"prompt": "Say hello."}, "text_completion", "completion_tokens"),
    ],
)
def test_other_endpoints_have_their_own_shapes(
    openai: Wire, url: str, body: dict[str, object], kind: str, usage: str
) -> None:
    content = jsonl({"custom_id": "a", "method": "POST", "url": url, "body": {"model": "m", **body}})
    (line,) = openai.results(openai.finish(content, endpoint=url)["output_file_id"])
    answer = line["response"]["body"]
    assert answer["object"] == kind
    assert usage in answer["usage"]


def test_ten_thousand_lines_come_back_once_each_in_another_order(azure: Wire) -> None:
    ids = [f"line-{number}" for number in range(10_000)]
    lines = azure.results(azure.finish(jsonl(*map(request_line, ids)))["output_file_id"])
    received = [line["custom_id"] for line in lines]
    assert received != ids
    assert sorted(received) == sorted(ids)
