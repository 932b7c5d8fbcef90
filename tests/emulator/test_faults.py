"""Each fault, as a client sees it, and what the server has done meanwhile."""

from __future__ import annotations

import time

import httpx
import pytest

from tests.emulator.conftest import FIVE, Wire, jsonl, request_line


def test_a_reset_before_the_work_leaves_nothing_behind(azure: Wire) -> None:
    file_id = azure.upload(FIVE).json()["id"]
    azure.instance.fault("reset_before", "batches.create")
    with pytest.raises(httpx.ReadError, match="reset"):
        azure.create(file_id)
    assert azure.instance.batches() == []
    (call,) = azure.instance.calls("batches.create")
    assert (call["status"], call["fault"]) == (None, "reset_before")


def test_a_reset_after_the_work_leaves_the_batch_behind(azure: Wire) -> None:
    file_id = azure.upload(FIVE).json()["id"]
    azure.instance.fault("reset_after", "batches.create")
    with pytest.raises(httpx.ReadError, match="reset"):
        azure.create(file_id)
    (batch,) = azure.instance.batches()
    assert azure.http.get("/batches").json()["data"][0]["id"] == batch["id"]


def test_an_upload_can_be_reset_under_way(azure: Wire) -> None:
    azure.instance.fault("reset_before", "files.create")
    with pytest.raises(httpx.TransportError):
        azure.upload(b"x" * 20_000_000)
    assert azure.instance.files() == []


def test_an_answer_can_be_held_back_though_the_work_is_done(azure: Wire) -> None:
    file_id = azure.upload(FIVE).json()["id"]
    azure.instance.fault("hang_after", "batches.create", seconds=30)
    azure.http.timeout = httpx.Timeout(0.3)
    with pytest.raises(httpx.ReadTimeout):
        azure.create(file_id)
    assert len(azure.instance.batches()) == 1


def test_a_delay_is_only_a_delay(azure: Wire) -> None:
    azure.instance.fault("delay", "files.list", seconds=0.3)
    began = time.monotonic()
    assert azure.http.get("/files").status_code == 200
    assert time.monotonic() - began >= 0.3


@pytest.mark.parametrize(
    ("style", "body"),
    [
        ("azure", '{"error": {"code": "429", "message": "Rate limit is exceeded. Try again in 2 seconds."}}'),
        ("openai", '{"error": {"message": "Rate limit is exceeded. Try again in 2 seconds.", "type": "server_error"'),
        ("kong", '{"message": "API rate limit exceeded", "request_id": "'),
        ("text", "Emulated fault: 429"),
        ("empty", ""),
    ],
)
def test_a_status_comes_in_the_words_of(azure: Wire, style: str, body: str) -> None:
    azure.instance.fault("status", "files.list", status=429, as_=style, retry_after=7, ai_retry_after=9)
    answer = azure.http.get("/files")
    assert answer.status_code == 429
    assert answer.text.startswith(body)
    if style != "empty":
        assert (answer.headers.get("retry-after"), answer.headers.get("x-ai-ratelimit-retry-after")) == ("7", "9")
    assert ("via" in answer.headers) is (style != "kong")


def test_a_refused_create_makes_nothing_and_an_accepted_one_does(azure: Wire) -> None:
    file_id = azure.upload(FIVE).json()["id"]
    azure.instance.fault("status", "batches.create", status=504, as_="kong")
    assert azure.create(file_id).status_code == 504
    assert len(azure.instance.batches()) == 0
    azure.instance.fault("accepted_status", "batches.create", status=504, as_="kong")
    assert azure.create(file_id).json()["message"] == "The upstream server is timing out"
    assert len(azure.instance.batches()) == 1


def test_a_repeated_create_makes_two_batches_and_the_client_sees_the_second(azure: Wire) -> None:
    file_id = azure.upload(FIVE).json()["id"]
    azure.instance.fault("repeat", "batches.create", seconds=0.1)
    seen = azure.create(file_id).json()["id"]
    first, second = azure.instance.batches()
    assert second["id"] == seen
    assert second["created"] - first["created"] >= 0.1
    (call,) = azure.instance.calls("batches.create")
    assert (call["fault"], call["answer_id"], call["unseen_ids"]) == ("repeat", seen, [first["id"]])


def test_a_repeated_create_can_end_in_an_error(azure: Wire) -> None:
    file_id = azure.upload(FIVE).json()["id"]
    azure.instance.fault("repeat", "batches.create", status=504, as_="kong")
    assert azure.create(file_id).status_code == 504
    assert len(azure.instance.batches()) == 2


@pytest.mark.parametrize(
    ("details", "body"),
    [
        ({"bytes": 20}, '{"cancelled_at": nul'),
        ({"message": '{"object": "batch"}'}, '{"object": "batch"}'),
        ({}, "<html>"),
    ],
)
def test_an_accepted_create_can_have_a_spoilt_answer(azure: Wire, details: dict[str, object], body: str) -> None:
    file_id = azure.upload(FIVE).json()["id"]
    azure.instance.fault("garbled", "batches.create", **details)
    answer = azure.create(file_id)
    assert answer.status_code == 200
    assert answer.text.startswith(body)
    assert len(azure.instance.batches()) == 1


def test_an_accepted_creates_answer_can_break_off(azure: Wire) -> None:
    file_id = azure.upload(FIVE).json()["id"]
    azure.instance.fault("truncate", "batches.create", bytes=20)
    with pytest.raises(httpx.RemoteProtocolError, match="received 20 bytes, expected"):
        azure.create(file_id)
    assert len(azure.instance.batches()) == 1


@pytest.mark.parametrize("offset", [-600, 600])
def test_the_gateways_clock_may_be_off(azure: Wire, offset: int) -> None:
    azure.instance.configure(clock_offset_seconds=offset)
    batch = azure.create(azure.upload(FIVE).json()["id"]).json()
    assert abs(batch["created_at"] - time.time() - offset) < 5
    assert abs(azure.instance.calls("batches.create")[0]["time"] - time.time()) < 5, "the record keeps ours"


def test_a_list_in_no_order_has_every_batch_once(azure: Wire) -> None:
    azure.instance.configure(list_order="none", page_size=7)
    azure.instance.insert_batch(count=20, apart_seconds=60, status="completed")
    shown: list[dict[str, int]] = []
    query, more = "", True
    while more:
        page = azure.http.get(f"/batches?{query}").json()
        shown += page["data"]
        query, more = f"after={page['last_id']}", page["has_more"]
    moments = [batch["created_at"] for batch in shown]
    assert len(set(moments)) == 20
    assert moments not in (sorted(moments), sorted(moments, reverse=True))


def test_a_large_upload_gets_its_error_and_not_a_reset(azure: Wire) -> None:
    azure.instance.fault("status", "files.create", status=503)
    assert azure.upload(b"x" * 20_000_000).status_code == 503


def test_a_download_can_break_off(azure: Wire) -> None:
    batch = azure.finish(jsonl(request_line("a--large-3000000")))
    path = f"/files/{batch['output_file_id']}/content"
    azure.instance.fault("truncate", "files.content", bytes=2_000_000)
    with azure.http.stream("GET", path) as answer:
        assert int(answer.headers["content-length"]) > 3_000_000
        with pytest.raises(httpx.RemoteProtocolError, match="received 2000000 bytes, expected 300"):
            answer.read()
    assert len(azure.results(batch["output_file_id"])) == 1


def test_a_download_can_be_slow(azure: Wire) -> None:
    file_id = azure.upload(b"x" * 3000).json()["id"]
    azure.instance.fault("slow", "files.content", bytes_per_second=10_000)
    began = time.monotonic()
    assert len(azure.http.get(f"/files/{file_id}/content").content) == 3000
    assert time.monotonic() - began >= 0.25


def test_an_answer_can_be_something_other_than_json(azure: Wire) -> None:
    azure.instance.fault("not_json", "batches.list")
    answer = azure.http.get("/batches")
    assert answer.status_code == 200
    with pytest.raises(ValueError, match="Expecting value"):
        answer.json()


def test_a_fault_strikes_as_often_as_it_is_told(azure: Wire) -> None:
    azure.instance.fault("status", "files.list", status=500, times=2, skip=1)
    assert [azure.http.get("/files").status_code for _ in range(4)] == [200, 500, 500, 200]
    assert azure.instance.faults()[0]["hits"] == 2
    azure.instance.fault("status", "*", status=500, times=-1)
    assert [azure.http.get("/batches").status_code for _ in range(3)] == [500] * 3
    azure.instance.clear_faults()
    assert azure.http.get("/batches").status_code == 200


@pytest.mark.parametrize(
    ("fault", "named"),
    [
        ({"kind": "explode"}, "kind"),
        ({"kind": "delay"}, "seconds"),
        ({"kind": "delay", "seconds": 1, "operation": "files.burn"}, "operation"),
        ({"kind": "delay", "seconds": 1, "colour": "red"}, "colour"),
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(azure: Wire, fault: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        azure.instance.fault(**fault)  # type: ignore[arg-type]  # wrong on purpose
