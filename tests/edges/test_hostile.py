"""Nobody else's text decides where a call goes, or what it carries."""

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmbatch.provider.edge.client import Gateway, NotMade, UnknownOutcome
from llmbatch.provider.edge.files import Files
from llmbatch.provider.edge.outcome import NotFound
from llmbatch.provider.edge.route import resolve
from llmbatch.provider.pure.ids import is_safe_id
from llmbatch.transfer.edge.collect import collect
from llmbatch.transfer.edge.upload import upload
from llmbatch.transfer.pure.report import CollectReport
from tests.edges.collecting import Done, problem
from tests.edges.plans import connection_to, jsonl, upload_plan
from tests.emulator.client import Instance
from tests.support import build

HOSTILE = [
    "../files/file-1", "..", ".", "", "a/../../admin", "a/b", "a?limit=1", "a#b", "a%2F..%2Fb", "//evil.example/x", "a@evil.example",
    "https://evil.example/", "\\\\evil", "a\r\nHost: evil.example", "a\nb", "a\0b", "a b", "ä", "a;b", "a" * 1025, "%2e%2e", "a%252Fb",
]  # fmt: skip
KEY = {"headers": [{"name": "apikey", "variable": "KEY"}]}
ENVIRON = {"KEY": "canary-7f3a9"}


@pytest.mark.parametrize("hostile", HOSTILE)
async def test_a_hostile_id_is_asked_nobody_about(kong: Instance, tmp_path: Path, hostile: str) -> None:
    gateway = Gateway.connect(connection_to(kong.url), {})
    for call in (gateway.get_batch, gateway.cancel_batch, gateway.get_file, gateway.delete_file):
        told = await call(hostile)
        assert isinstance(told, NotFound)
        assert hostile not in told.message or len(hostile) < 2
    await gateway.close()
    with (tmp_path / "into").open("wb") as into, Files(resolve(connection_to(kong.url), {})) as files:
        assert isinstance(files.download(hostile, into), NotFound)
    assert kong.calls() == []


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_ids_of_a_batchs_files_are_asked_nobody_about(kong: Instance, tmp_path: Path, hostile: str) -> None:
    given = {"output_root": str(tmp_path), "output_file_id": hostile, "error_file_id": hostile}
    plan = build.collect_plan(connection=connection_to(kong.url), input_file_id=hostile, **given)
    assert problem(collect(plan, {})).reason
    assert kong.calls() == []


@pytest.mark.parametrize("hostile", [item for item in HOSTILE if item])
async def test_a_hostile_place_in_a_list_stays_a_parameter(kong: Instance, hostile: str) -> None:
    gateway = Gateway.connect(connection_to(kong.url, **KEY), ENVIRON)
    await gateway.list_batches(hostile)
    await gateway.close()
    (call,) = kong.calls()
    assert (call["operation"], call["path"].rpartition("/")[2]) == ("batches.list", "batches")
    assert call["query"].keys() == {"limit", "after"}
    assert "evil.example" not in call["headers"]["host"]


@pytest.mark.parametrize("hostile", HOSTILE)
async def test_hostile_words_of_a_job_stay_in_the_body(kong: Instance, hostile: str) -> None:
    gateway = Gateway.connect(connection_to(kong.url, **KEY), ENVIRON)
    await gateway.create_batch(hostile, hostile, hostile, {"key": hostile, hostile: "value"})
    await gateway.close()
    (call,) = kong.calls()
    assert (call["operation"], call["path"].rpartition("/")[2]) == ("batches.create", "batches")
    expected = {
        "host",
        "accept",
        "accept-encoding",
        "connection",
        "user-agent",
        "apikey",
        "content-length",
        "content-type",
    }
    assert {name.lower() for name in call["headers"]} == expected


@pytest.mark.parametrize("hostile", ["m\r\nX-Evil: 1", "--boundary\r\nContent-Disposition: form-data", '"', "\u2028"])
def test_a_hostile_model_stays_in_the_lines(kong: Instance, hostile: str) -> None:
    report = upload(upload_plan(kong.url, model=hostile), jsonl("a"), {})
    assert report.problem is None
    (call,) = kong.calls("files.create")
    assert "x-evil" not in {name.lower() for name in call["headers"]}
    assert call["upload"]["fields"] == {"purpose": "batch"}
    assert call["upload"]["filename"] == "uid-0-1.jsonl"


# --- redirects -----------------------------------------------------------------------------------------------------------


class Redirector:
    """A gateway that sends everybody elsewhere, and that elsewhere."""

    def __init__(self, status: int) -> None:
        self.asked: list[str] = []
        self.elsewhere: list[str] = []
        asked, elsewhere = self.asked, self.elsewhere

        class Gate(http.server.BaseHTTPRequestHandler):
            def answer(self) -> None:
                asked.append(self.path)
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self.send_response(status)
                self.send_header("Location", f"http://127.0.0.1:{ports[1]}/stolen")
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_GET = do_POST = do_DELETE = answer  # noqa: N815 - the library's names

            def log_message(self, *_: object) -> None:
                pass

        class Elsewhere(Gate):
            def answer(self) -> None:
                elsewhere.append(str(self.headers))

            do_GET = do_POST = do_DELETE = answer  # noqa: N815 - the library's names

        self.servers = [http.server.ThreadingHTTPServer(("127.0.0.1", 0), kind) for kind in (Gate, Elsewhere)]
        ports = [server.server_address[1] for server in self.servers]
        self.url = f"http://127.0.0.1:{ports[0]}"
        for server in self.servers:
            threading.Thread(target=server.serve_forever, daemon=True).start()

    def close(self) -> None:
        for server in self.servers:
            server.shutdown()
            server.server_close()


@pytest.fixture(params=[301, 302, 303, 307, 308])
def redirector(request: pytest.FixtureRequest) -> Iterator[Redirector]:
    made = Redirector(request.param)
    yield made
    made.close()


async def test_a_redirect_is_not_followed_and_carries_nothing(redirector: Redirector, five: Done) -> None:
    connection = connection_to(redirector.url, **KEY)
    gateway = Gateway.connect(connection, ENVIRON)
    created = await gateway.create_batch("file-1", "/v1/responses", "24h", {})
    for call in (gateway.get_batch, gateway.cancel_batch, gateway.get_file, gateway.delete_file):
        assert "redirects, which is not followed" in (await call("id-1")).message  # type: ignore[union-attr]
    await gateway.probe()
    await gateway.close()
    assert isinstance(created, NotMade | UnknownOutcome)
    sent = upload(upload_plan(redirector.url, connection=connection), jsonl("a"), ENVIRON)
    assert sent.problem is not None
    assert "redirects, which is not followed" in sent.problem.message
    fetched: CollectReport = collect(five.plan(connection=connection), ENVIRON)
    assert "redirects, which is not followed" in problem(fetched).message
    assert len(redirector.asked) >= 9
    assert redirector.elsewhere == []


@pytest.mark.parametrize("value", HOSTILE)
def test_what_is_safe_in_a_path_is_decided_in_one_place(value: str) -> None:
    assert not is_safe_id(value)
