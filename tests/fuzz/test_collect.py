"""Whatever a provider's file of results holds, the stored results are the model's, line for line."""

import http.server
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from llmbatch.api.reasons import Reason
from llmbatch.jsonl import results
from llmbatch.transfer.edge.collect import collect
from llmbatch.transfer.pure.plan import CollectPlan
from tests.edges.plans import CHAT, connection_to, jsonl
from tests.fuzz import model
from tests.fuzz.strategies import inputs

IDS = ["a", "b", "c", "prod1"]
INPUT = jsonl(*IDS)


class _Results(http.server.BaseHTTPRequestHandler):
    """Answers every call with the bytes that are laid down."""

    protocol_version = "HTTP/1.1"
    content = b""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.content)))
        self.end_headers()
        self.wfile.write(self.content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as http.server names it
        """Say nothing."""


@pytest.fixture(scope="module")
def provider() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Results)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@contextmanager
def volume() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "in.jsonl").write_bytes(INPUT)
        yield Path(folder)


def plan(provider: str, root: Path, order: str) -> CollectPlan:
    given = {
        "connection": connection_to(provider),
        "input_file_id": "file-in",
        "output_file_id": "file-out",
        "endpoint": CHAT,
        "order": order,
        "input": {"bytes": len(INPUT), "requests": len(IDS), "sha256": sha256(INPUT).hexdigest()},
        "input_root": str(root),
        "input_path": "in.jsonl",
        "output_root": str(root),
        "output_path": "out.jsonl",
    }
    return CollectPlan.model_validate(given)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(content=inputs("results"), by_completion=st.booleans())
def test_the_stored_results_are_the_models(provider: str, content: bytes, by_completion: bool) -> None:
    try:
        joined = model.join(content, IDS)
        answered = model.join(content, None).best
    except model.UnsureError:
        assume(False)
    # In the order of completion the input is only read when something is missing: a stranger's line is not known as one.
    by_completion = by_completion and answered.keys() <= set(IDS)
    _Results.content = content
    with volume() as root:
        report = collect(plan(provider, root, "Completion" if by_completion else "Input"), {})
        if not joined.best and (joined.malformed or joined.foreign):
            assert report.problem is not None
            assert report.problem.reason is Reason.RESULTS_UNREADABLE
            return
        # An empty file is an answer too: nothing came of any request.
        assert report.problem is None
        missing = [item for item in IDS if item not in joined.best]
        order = [*joined.completion, *missing] if by_completion else IDS
        lines = [joined.best.get(item, (False, results.missing_line(item))) for item in order]
        good = b"".join(line + b"\n" for succeeded, line in lines if succeeded)
        bad = b"".join(line + b"\n" for succeeded, line in lines if not succeeded)
        assert (root / "out.jsonl").read_bytes() == good
        stored = root / "out.errors.jsonl"
        assert (stored.read_bytes() if stored.exists() else b"") == bad
        assert (report.missing, report.malformed_lines) == (len(missing), joined.malformed)
        counts = report.request_counts
        succeeded = sum(succeeded for succeeded, _ in lines)
        assert counts is not None
        assert (counts.total, counts.completed, counts.failed) == (len(IDS), succeeded, len(IDS) - succeeded)
        report.dump()
