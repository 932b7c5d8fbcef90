"""The exchange that Kong's how-to for Azure batches shows, member for member."""

from __future__ import annotations

import re

from tests.emulator.conftest import CHAT, FIVE, Wire


def test_the_five_lines_have_the_size_of_the_printed_file() -> None:
    assert len(FIVE) == 1560


def test_an_upload_answers_201_with_the_members_of_the_howto(azure: Wire) -> None:
    answer = azure.upload(FIVE)
    shown = answer.json()
    assert answer.status_code == 201
    assert list(shown.items())[:4] == [
        ("status", "processed"),
        ("bytes", 1560),
        ("purpose", "batch"),
        ("filename", "batch.jsonl"),
    ]
    assert list(shown)[4:] == ["id", "created_at", "object"]
    assert re.fullmatch(r"file-[0-9a-f]{32}", shown["id"])
    assert answer.headers["location"] == f"{azure.instance.url}/files/{shown['id']}"


def test_a_new_batch_has_empty_strings_for_what_is_not_known_yet(azure: Wire) -> None:
    file_id = azure.upload(FIVE).json()["id"]
    answer = azure.create(file_id)
    shown = answer.json()
    created = shown["created_at"]
    assert answer.status_code == 200
    assert re.fullmatch(r"batch_[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", shown["id"])
    assert list(shown.items()) == [
        ("cancelled_at", None),
        ("cancelling_at", None),
        ("completed_at", None),
        ("completion_window", "24h"),
        ("created_at", created),
        ("error_file_id", ""),
        ("expired_at", None),
        ("expires_at", created + 86397),
        ("failed_at", None),
        ("finalizing_at", None),
        ("id", shown["id"]),
        ("in_progress_at", None),
        ("input_file_id", file_id),
        ("errors", None),
        ("metadata", None),
        ("object", "batch"),
        ("output_file_id", ""),
        ("request_counts", {"total": 0, "completed": 0, "failed": 0}),
        ("status", "validating"),
        ("endpoint", ""),
    ]


def test_the_how_tos_times_give_the_how_tos_completed_batch(azure: Wire) -> None:
    azure.instance.configure(validating_seconds=10, in_progress_seconds=90, finalizing_seconds=23)
    first = azure.start(FIVE)
    azure.instance.advance(130)
    shown = azure.batch(first["id"])
    assert shown == {
        **first,
        "completed_at": shown["completed_at"],
        "error_file_id": None,
        "finalizing_at": shown["finalizing_at"],
        "output_file_id": shown["output_file_id"],
        "request_counts": {"total": 5, "completed": 5, "failed": 0},
        "status": "completed",
        "endpoint": CHAT,
    }
    assert list(shown) == list(first)
    assert shown["completed_at"] - shown["created_at"] == 123
    assert shown["completed_at"] - shown["finalizing_at"] == 23
    assert re.fullmatch(r"file-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", shown["output_file_id"])


def test_the_results_have_the_how_tos_order_usage_and_envelope(azure: Wire) -> None:
    lines = azure.results(azure.finish(FIVE)["output_file_id"])
    rows = []
    for line in lines:
        body = line["response"]["body"]
        usage = body["usage"]
        reason = body["choices"][0]["finish_reason"]
        rows.append(
            (line["custom_id"], reason, usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"])
        )
    assert rows == [
        ("prod4", "length", 30, 60, 90),
        ("prod3", "length", 31, 60, 91),
        ("prod1", "length", 30, 60, 90),
        ("prod5", "stop", 33, 59, 92),
        ("prod2", "length", 31, 60, 91),
    ]
    first = lines[0]
    body = first["response"]["body"]
    assert list(first) == ["custom_id", "response", "error"]
    assert list(first["response"]) == ["body", "request_id", "status_code"]
    assert list(body) == ["id", "object", "created", "model", "choices", "usage", "system_fingerprint"]
    assert list(body["choices"][0]) == ["index", "message", "finish_reason", "logprobs"]
    assert list(body["choices"][0]["message"]) == ["role", "content", "refusal", "annotations"]
    assert body["model"] == "gpt-4o-2024-11-20"
    assert body["choices"][0]["message"]["content"].startswith("[Emulated] Meet the water-saving smart shower head")


def test_the_openai_variant_differs_as_the_how_to_says(openai: Wire) -> None:
    upload = openai.upload(FIVE)
    assert upload.status_code == 200
    assert {"expires_at", "status_details"} <= set(upload.json())
    first = openai.create(upload.json()["id"]).json()
    assert (first["endpoint"], first["output_file_id"], first["error_file_id"]) == (CHAT, None, None)
    assert first["expires_at"] == first["created_at"] + 86400
    openai.instance.advance(10)
    done = openai.batch(first["id"])
    assert done["in_progress_at"] is not None
    assert done["usage"]["total_tokens"] == 454
    line = openai.results(done["output_file_id"])[0]
    assert list(line) == ["id", "custom_id", "response", "error"]
    assert line["id"].startswith("batch_req_")
    assert {"prompt_tokens_details", "completion_tokens_details"} <= set(line["response"]["body"]["usage"])


def test_every_answer_says_that_it_is_emulated(azure: Wire) -> None:
    for path in ("/files", "/batches", "/files/none", "/nowhere"):
        headers = azure.http.get(path).headers
        assert headers["x-emulated"] == "llmbatch-emulator"
        assert "llmbatch-emulator" in headers["server"]
