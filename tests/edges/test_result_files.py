"""Result files as odd gateways serve them: what is stored of them can be read line by line, by whoever."""

import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from llmbatch.api.reasons import Reason
from llmbatch.jsonl.lines import BOM
from llmbatch.transfer.edge.collect import collect
from llmbatch.transfer.pure.plan import CollectPlan
from llmbatch.transfer.pure.report import CollectReport
from tests.edges.collecting import counts, problem
from tests.edges.plans import CHAT, connection_to, jsonl

orders = pytest.mark.parametrize("order", ["Input", "Completion"])


def answer(custom_id: str, status: int = 200) -> bytes:
    return json.dumps({"custom_id": custom_id, "response": {"status_code": status, "body": {}}, "error": None}).encode()


@contextmanager
def serving(files: dict[str, bytes]) -> Iterator[str]:
    """Serve files' contents by their ids."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = files[self.path.split("/")[-2]]
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as http.server names it
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def collected(
    root: Path, order: str, *custom_ids: str, output: bytes, errors: bytes | None = None, **changes: Any
) -> CollectReport:
    """Collect the results of a batch whose files hold this."""
    sent = jsonl(*custom_ids)
    (root / "in.jsonl").write_bytes(sent)
    copy = changes.pop("copy", sent)
    files = {"file-in": copy, "file-out": output} | ({} if errors is None else {"file-err": errors})
    with serving(files) as url:
        plan = {
            "connection": connection_to(url),
            "input_file_id": "file-in",
            "output_file_id": "file-out",
            "error_file_id": None if errors is None else "file-err",
            "endpoint": CHAT,
            "order": order,
            "input": {"bytes": len(sent), "requests": len(custom_ids), "sha256": sha256(sent).hexdigest()},
            "input_root": str(root),
            "input_path": "in.jsonl",
            "output_root": str(root),
            "output_path": "out.jsonl",
        }
        return collect(CollectPlan.model_validate(plan | changes), {})


@orders
@pytest.mark.parametrize("marks", [1, 2])
def test_a_byte_order_mark_is_no_part_of_a_line_wherever_that_is_stored(tmp_path: Path, order: str, marks: int) -> None:
    """The first line of the provider's file is seldom that of the results; as for files that were put together."""
    output = BOM * marks + answer("b") + b"\n" + BOM + answer("a") + b"\n"
    report = collected(tmp_path, order, "a", "b", "c", "d", output=output, errors=BOM + answer("d", 400) + b"\n")
    assert counts(report) == (4, 2, 2)
    assert report.malformed_lines == 0
    expected = [answer("a"), answer("b")] if order == "Input" else [answer("b"), answer("a")]
    assert (tmp_path / "out.jsonl").read_bytes() == b"".join(line + b"\n" for line in expected)
    failed = (tmp_path / "out.errors.jsonl").read_bytes().splitlines()
    assert {json.loads(line)["custom_id"] for line in failed} == {"c", "d"}
    assert answer("d", 400) in failed


@orders
@pytest.mark.parametrize("content", [BOM, BOM + b"\n", BOM + b" \r\n\n"])
def test_a_file_of_nothing_but_a_mark_is_empty(tmp_path: Path, order: str, content: bytes) -> None:
    report = collected(tmp_path, order, "a", output=content, errors=answer("a", 400) + b"\n")
    assert counts(report) == (1, 0, 1)
    assert report.malformed_lines == 0


SENT = jsonl("a", "b", "c")
COPIES = pytest.mark.parametrize("copy", [
    pytest.param(jsonl("a"), id="cut off"),
    pytest.param(SENT[:-20], id="cut off in a line"),
    pytest.param(b"", id="empty"),
    pytest.param(SENT * 2, id="doubled"),
    pytest.param(jsonl("x", "y"), id="another's"),
    pytest.param(b"<html>Please log in.</html>", id="a page"),
])  # fmt: skip


@orders
@COPIES
def test_no_answer_is_a_strangers_because_the_copy_of_the_input_is_not_what_was_sent(
    tmp_path: Path, order: str, copy: bytes
) -> None:
    given: dict[str, Any] = {"output": answer("c") + b"\n" + answer("a") + b"\n", "copy": copy, "input_root": None}
    told = problem(collected(tmp_path, order, "a", "b", "c", **given, patient=True))
    assert told.reason is Reason.RESULTS_UNREADABLE
    assert "other requests than were sent" in told.message
    report = collected(tmp_path, order, "a", "b", "c", **given, patient=False)
    assert counts(report) == (3, 2, 1)
    assert (report.missing, report.foreign_lines, report.foreign_requests) == (1, 0, 0)
    assert (tmp_path / "out.jsonl").read_bytes() == given["output"], "in the order that they have"


@orders
def test_a_copy_of_the_input_that_was_rewritten_on_the_way_is_good_for_its_order(tmp_path: Path, order: str) -> None:
    copy = SENT.replace(b"gpt-4o", b"gpt-4o-2024-08-06").replace(b"\n", b"\r\n")
    output = answer("c") + b"\n" + answer("a") + b"\n"
    report = collected(tmp_path, order, "a", "b", "c", output=output, copy=copy, input_root=None)
    assert counts(report) == (3, 2, 1)
    stored = [json.loads(line)["custom_id"] for line in (tmp_path / "out.jsonl").read_bytes().splitlines()]
    assert stored == (["a", "c"] if order == "Input" else ["c", "a"])
