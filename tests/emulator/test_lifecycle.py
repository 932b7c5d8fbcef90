"""What becomes of a batch in time: its states, cancellation, expiry, and what is left of it."""

from __future__ import annotations

from tests.emulator.conftest import FIVE, Wire, jsonl, request_line

SLOW: dict[str, object] = {
    "validating_seconds": 100,
    "in_progress_seconds": 1000,
    "finalizing_seconds": 100,
    "cancelling_seconds": 100,
}
TEN = jsonl(*(request_line(f"line-{number}") for number in range(10)))


def test_the_states_follow_the_clock_and_the_counts_grow(azure: Wire) -> None:
    azure.instance.configure(**SLOW)
    batch = azure.start(TEN)
    seen = []
    for _ in range(13):
        shown = azure.batch(batch["id"])
        seen.append((shown["status"], shown["request_counts"]["completed"]))
        azure.instance.advance(100)
    expected = [
        ("validating", 0),
        *(("in_progress", done) for done in range(10)),
        ("finalizing", 10),
        ("completed", 10),
    ]
    assert seen == expected


def test_a_cancelled_batch_keeps_what_was_done(azure: Wire, openai: Wire) -> None:
    for wire, undone in ((azure, 0), (openai, 6)):
        wire.instance.configure(**SLOW)
        batch = wire.start(TEN)
        wire.instance.advance(550)
        cancelling = wire.http.post(f"/batches/{batch['id']}/cancel")
        assert (cancelling.status_code, cancelling.json()["status"]) == (200, "cancelling")
        assert cancelling.json()["cancelling_at"]
        wire.instance.advance(101)
        shown = wire.batch(batch["id"])
        assert shown["status"] == "cancelled"
        assert len(wire.results(shown["output_file_id"])) == 4
        errors = wire.results(shown["error_file_id"]) if shown["error_file_id"] else []
        assert [line["error"]["code"] for line in errors] == ["batch_cancelled"] * undone


def test_a_batch_cancelled_while_validating_has_no_output(azure: Wire) -> None:
    azure.instance.configure(**SLOW)
    batch = azure.start(TEN)
    azure.http.post(f"/batches/{batch['id']}/cancel")
    azure.instance.advance(101)
    shown = azure.batch(batch["id"])
    assert (shown["status"], shown["output_file_id"]) == ("cancelled", None)


def test_a_cancellation_can_come_too_late(azure: Wire) -> None:
    azure.instance.configure(**SLOW, cancel_wins=False)
    batch = azure.start(TEN)
    azure.instance.advance(550)
    azure.batch(batch["id"])
    assert azure.http.post(f"/batches/{batch['id']}/cancel").json()["status"] == "cancelling"
    azure.instance.advance(101)
    shown = azure.batch(batch["id"])
    assert (shown["status"], shown["request_counts"]["completed"]) == ("completed", 10)


def test_cancelling_a_finished_batch_is_a_conflict(azure: Wire, openai: Wire) -> None:
    for wire, code in ((azure, "conflict"), (openai, None)):
        batch = wire.finish(FIVE)
        answer = wire.http.post(f"/batches/{batch['id']}/cancel")
        assert answer.status_code == 409
        assert answer.json()["error"]["message"] == "Cannot cancel a batch with status 'completed'."
        assert answer.json()["error"]["code"] == code


def test_a_batch_expires_with_what_was_done_and_what_was_not(azure: Wire) -> None:
    azure.instance.configure(**SLOW, window_seconds=600)
    batch = azure.start(TEN)
    azure.instance.advance(5000)
    shown = azure.batch(batch["id"])
    assert (shown["status"], shown["request_counts"]) == ("expired", {"total": 10, "completed": 5, "failed": 5})
    assert {line["error"]["code"] for line in azure.results(shown["error_file_id"])} == {"batch_expired"}


def test_or_it_never_expires(azure: Wire) -> None:
    azure.instance.configure(**SLOW, window_seconds=600, expires=False)
    assert azure.finish(TEN)["status"] == "completed"


def test_deleted_input_is_gone_at_once_and_its_batch_still_completes(azure: Wire) -> None:
    batch = azure.start(FIVE)
    file_id = batch["input_file_id"]
    assert azure.http.delete(f"/files/{file_id}").json() == {"object": "file", "deleted": True, "id": file_id}
    for path in (f"/files/{file_id}", f"/files/{file_id}/content"):
        assert azure.http.get(path).status_code == 404
    assert azure.http.delete(f"/files/{file_id}").status_code == 404
    azure.instance.advance(10)
    assert azure.batch(batch["id"])["status"] == "completed"
    assert [file["deleted"] for file in azure.instance.files()] == [True, False]


def test_results_expire_when_asked_to(azure: Wire) -> None:
    batch = azure.finish(FIVE, output_expires_after={"anchor": "created_at", "seconds": 1209600})
    assert azure.http.get(f"/files/{batch['output_file_id']}").json()["expires_at"]
    azure.instance.advance(1209600)
    assert azure.http.get(f"/files/{batch['output_file_id']}/content").status_code == 404


def test_the_list_pages_lags_and_can_be_absent(azure: Wire) -> None:
    file_id = azure.upload(FIVE).json()["id"]
    ids = [azure.create(file_id).json()["id"] for _ in range(5)][::-1]
    page = azure.http.get("/batches", params={"limit": 2}).json()
    assert ([batch["id"] for batch in page["data"]], page["has_more"]) == (ids[:2], True)
    assert (page["object"], page["first_id"], page["last_id"]) == ("list", ids[0], ids[1])
    page = azure.http.get("/batches", params={"limit": 3, "after": ids[1]}).json()
    assert ([batch["id"] for batch in page["data"]], page["has_more"]) == (ids[2:], False)
    assert azure.http.get("/batches", params={"limit": 0}).status_code == 400
    azure.instance.configure(list_order="oldest", page_size=1)
    assert [batch["id"] for batch in azure.http.get("/batches").json()["data"]] == [ids[-1]]
    azure.instance.configure(list_lag_seconds=60, page_size=100)
    assert azure.http.get("/batches").json()["data"] == []
    azure.instance.advance(61)
    assert len(azure.http.get("/batches").json()["data"]) == 5
    azure.instance.configure(list_supported=False)
    assert azure.http.get("/batches").status_code == 404


def test_quirks_show(azure: Wire) -> None:
    azure.instance.configure(
        **SLOW,
        keep_metadata=False,
        quirks={"unknown_status": "queued", "unknown_status_seconds": 500, "in_progress_at": True, "counts": "null"},
    )
    batch = azure.start(FIVE, metadata={"a": "b"})
    assert batch["metadata"] is None
    azure.instance.advance(150)
    shown = azure.batch(batch["id"])
    assert shown["status"] == "queued"
    assert shown["in_progress_at"]
    assert shown["request_counts"] == {"total": None, "completed": None, "failed": None}
    azure.instance.configure(
        quirks={"status_case": "capitalised", "timestamps": "iso", "error_file": "empty_file", "output_bytes": False}
    )
    azure.instance.advance(500)
    assert azure.batch(batch["id"])["status"] == "InProgress"
    azure.instance.advance(5000)
    shown = azure.batch(batch["id"])
    assert shown["status"] == "Completed"
    assert shown["completed_at"].endswith("+00:00")
    assert azure.http.get(f"/files/{shown['error_file_id']}/content").content == b""
    assert "bytes" not in azure.http.get(f"/files/{shown['output_file_id']}").json()
