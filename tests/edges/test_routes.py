"""A gateway is ready only when both routes were seen to answer as a Files and a Batches API."""

import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from llmbatch.api.reasons import Reason
from llmbatch.provider.edge import routes
from llmbatch.provider.edge.client import Gateway
from llmbatch.provider.edge.outcome import Failure, from_response
from tests.edges.plans import connection_to
from tests.support import canary

KEY = {"headers": [{"name": "apikey", "variable": "H"}]}
FILE = {"id": "file-1", "object": "file", "filename": "a.jsonl", "purpose": "batch"}
BATCH = {"id": "batch_1", "object": "batch", "input_file_id": "file-1", "status": "completed"}
HTML = "<!DOCTYPE html><html><head><title>Sign in</title></head><body><form></form></body></html>"
Answer = tuple[int, dict[str, str], str]


def json_of(value: Any, status: int = 200) -> Answer:
    return status, {"Content-Type": "application/json"}, json.dumps(value)


def error_of(status: int, message: str = "No list here.", **more: Any) -> Answer:
    return json_of({"error": {"message": message, **more}}, status)


LISTS: dict[str, Answer] = {
    "/files": json_of({"object": "list", "data": [FILE], "has_more": False}),
    "/batches": json_of({"object": "list", "data": [BATCH], "has_more": False}),
}


class Server:
    """Answers each route as it is told to."""

    def __init__(self) -> None:
        self.answers = dict(LISTS)
        answers = self.answers

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, headers, body = answers[self.path.partition("?")[0]]
                self.send_response_only(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                if status not in (204, 304):
                    self.send_header("Content-Length", str(len(body.encode())))
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module")
def one_server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture
def server(one_server: Server) -> Server:
    one_server.answers.update(LISTS)
    return one_server


async def probe(server: Server) -> routes.Probe:
    gateway = Gateway.connect(connection_to(server.url, **KEY), {"H": canary.CREDENTIAL_WORD})
    try:
        return await gateway.probe()
    finally:
        await gateway.close()


@pytest.mark.parametrize("route", ["files", "batches"])
@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(json_of({"object": "list", "data": []}), id="an empty list"),
        pytest.param(json_of({"data": []}), id="a bare one"),
        pytest.param(json_of({"object": "list", "data": None, "has_more": False}), id="an empty one of Go's"),
        pytest.param(json_of({"data": [{"id": "x", "status": "completed"}]}), id="one that says little"),
        pytest.param(json_of({"value": [{"id": "x"}], "data": None}), id="one of a very old preview"),
        pytest.param(json_of(json.dumps({"data": []})), id="one in a JSON string"),
    ],
)
async def test_a_list_is_an_answer(server: Server, route: str, answer: Answer) -> None:
    if "value" in answer[2] and route == "batches":
        answer = json_of({"value": [BATCH]})
    server.answers[f"/{route}"] = answer
    probed = await probe(server)
    assert (probed.files.state, probed.batches.state) == ("ok", "ok")


@pytest.mark.parametrize("route", ["files", "batches"])
@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(error_of(404, "Not found", code="notFound"), id="404"),
        pytest.param(error_of(405, "Method not allowed", type="invalid_request_error", param=None), id="405"),
        pytest.param(error_of(400, "Unknown parameter: 'limit'.", code="unknown_parameter"), id="400"),
        pytest.param(error_of(501, "Listing is not implemented.", type="not_implemented"), id="501"),
    ],
)
async def test_a_refusal_in_the_apis_own_form_is_an_answer(server: Server, route: str, answer: Answer) -> None:
    server.answers[f"/{route}"] = answer
    probed = await probe(server)
    assert getattr(probed, route).state == "unsupported"


async def test_lists_of_all_that_there_ever_was_are_answers_however_often(server: Server) -> None:
    for route, entry in ("files", FILE), ("batches", BATCH):
        server.answers[f"/{route}"] = json_of({"data": [entry] * 40_000 + [{"id": "x" * 2**23}]})
    for _ in range(3):
        probed = await probe(server)
        assert (probed.files.state, probed.batches.state) == ("ok", "ok")
    server.answers["/batches"] = json_of({"data": [{"id": "m", "object": "model"}] * 40_000})
    assert (await probe(server)).batches.state == "mismatch"


NOT_IMPLEMENTED = [
    pytest.param((501, {}, ""), id="nothing"),
    pytest.param((501, {"Content-Type": "text/html"}, "<h1>501 Not Implemented</h1>"), id="a page"),
    pytest.param(json_of({"detail": "Not Implemented"}, 501), id="other JSON"),
    pytest.param(json_of({"message": "Not Implemented"}, 501), id="Kong's"),
]


@pytest.mark.parametrize("route", ["files", "batches"])
@pytest.mark.parametrize("answer", NOT_IMPLEMENTED)
async def test_not_implemented_is_no_list_where_the_other_route_is_an_apis(
    server: Server, route: str, answer: Answer
) -> None:
    server.answers[f"/{route}"] = answer
    probed = await probe(server)
    states = {"files": probed.files.state, "batches": probed.batches.state}
    assert states == {"files": "ok", "batches": "ok", route: "unsupported"}
    server.answers.update({"/files": answer, "/batches": answer})
    probed = await probe(server)
    assert (probed.files.state, probed.batches.state) == ("mismatch", "mismatch")


NO_API = [
    *(
        pytest.param((status, {"Location": "https://127.0.0.1/files"}, ""), "https://127.0.0.1", id=str(status))
        for status in (301, 302, 303, 307, 308)
    ),
    pytest.param((302, {"Location": "/login?next=/files"}, ""), "login page", id="302 to a login page"),
    pytest.param((302, {"Location": "https://sso.example/auth"}, HTML), "unless that is a login", id="302 to a login elsewhere"),
    pytest.param((302, {}, ""), "redirect", id="302 to nowhere"),
    pytest.param((300, {}, ""), "redirect", id="300"),
    pytest.param((304, {}, ""), "redirect", id="304"),
    pytest.param((426, {"Upgrade": "TLS/1.2"}, ""), "https://127.0.0.1", id="426"),
    pytest.param((426, {}, '{"message":"Please use HTTPS protocol"}'), "https://127.0.0.1", id="426 of Kong"),
    pytest.param(
        (400, {"Content-Type": "text/html"}, "<html><head><title>400 The plain HTTP request was sent to HTTPS port</title>"),
        "https://127.0.0.1",
        id="400 of nginx",
    ),
    pytest.param((400, {}, "Client sent an HTTP request to an HTTPS server.\n"), "https://127.0.0.1", id="400 of Go"),
    pytest.param((400, {"Content-Type": "text/html"}, HTML), "does not answer as a", id="another 400"),
    pytest.param((405, {"Content-Type": "text/html"}, HTML), "does not answer as a", id="405 of a web server"),
    pytest.param(json_of({"detail": "Method Not Allowed"}, 405), "does not answer as a", id="405 of another API"),
    pytest.param(json_of({"message": "no"}, 400), "does not answer as a", id="400 of Kong"),
    pytest.param((418, {}, "teapot"), "does not answer as a", id="418"),
    pytest.param((200, {"Content-Type": "text/html"}, HTML), "web page", id="a login page"),
    pytest.param((200, {"Content-Type": "application/json"}, HTML), "web page", id="a login page said to be JSON"),
    pytest.param((200, {}, ""), "nothing at all", id="200 without a body"),
    pytest.param((204, {}, ""), "nothing at all", id="204"),
    pytest.param((202, {}, "accepted"), "not JSON", id="202"),
    pytest.param(json_of({"status": "ok"}), "another form", id="other JSON"),
    pytest.param(json_of([]), "another form", id="a bare list"),
    pytest.param(json_of(None), "another form", id="null"),
    pytest.param(json_of({"data": {}}), "another form", id="data that is no list"),
    pytest.param(json_of({"object": "error", "data": []}), "another form", id="another object"),
    pytest.param(json_of({"object": "list", "data": [{"id": "gpt-4o", "object": "model"}]}), "other things", id="models"),
    pytest.param(json_of({"data": [1, 2]}), "other things", id="numbers"),
]  # fmt: skip


@pytest.mark.parametrize("route", ["files", "batches"])
@pytest.mark.parametrize(("answer", "told"), NO_API)
async def test_what_answers_otherwise_is_no_api_and_is_named(
    server: Server, route: str, answer: Answer, told: str
) -> None:
    server.answers[f"/{route}"] = answer
    probed = await probe(server)
    found, other = (probed.files, probed.batches) if route == "files" else (probed.batches, probed.files)
    assert (found.state, found.reason) == ("mismatch", Reason.NOT_A_BATCH_API)
    assert told in found.message
    assert f"{route}Path" in found.message
    assert "spec." in found.message
    assert other.state == "ok"


@pytest.mark.parametrize("route", ["files", "batches"])
@pytest.mark.parametrize(
    ("answer", "state"),
    [
        pytest.param(error_of(401, "no"), "unauthorized", id="401"),
        pytest.param((403, {}, HTML), "unauthorized", id="403"),
        pytest.param(json_of({"message": "no Route matched with those values"}, 404), "no_route", id="404 of Kong"),
        pytest.param((404, {}, HTML), "no_route", id="404 of a web server"),
        pytest.param(json_of({"detail": "Not Found"}, 404), "no_route", id="404 of another API"),
        pytest.param(json_of({"error": "Not Found"}, 404), "no_route", id="404 of another API, with an error"),
        pytest.param((500, {}, ""), "unreachable", id="500"),
        pytest.param((502, {}, HTML), "unreachable", id="502"),
        pytest.param((503, {}, ""), "unreachable", id="503"),
        pytest.param(json_of({"message": "API rate limit exceeded"}, 429), "unreachable", id="429"),
    ],
)
async def test_other_troubles_are_told_apart(server: Server, route: str, answer: Answer, state: str) -> None:
    server.answers[f"/{route}"] = answer
    probed = await probe(server)
    assert getattr(probed, route).state == state


@pytest.mark.parametrize("message", ["Resource not found", "Invalid URL (GET /v1/deployments/files)"])
async def test_a_base_that_the_provider_does_not_know_is_no_route(server: Server, message: str) -> None:
    server.answers.update(
        {"/files": error_of(404, message, code="404"), "/batches": error_of(404, message, code="404")}
    )
    probed = await probe(server)
    assert (probed.files.state, probed.batches.state) == ("no_route", "no_route")


@pytest.mark.parametrize(("files", "batches"), [(BATCH, FILE), (BATCH, None), (None, FILE)])
@pytest.mark.parametrize("typed", [True, False])
async def test_exchanged_paths_are_recognised(server: Server, files: Any, batches: Any, *, typed: bool) -> None:
    for path, entry in (("/files", files), ("/batches", batches)):
        shown = [{key: value for key, value in entry.items() if typed or key != "object"}] if entry else []
        server.answers[path] = json_of({"data": shown})
    probed = await probe(server)
    wrong = [found for found in (probed.files, probed.batches) if found.state != "ok"]
    assert wrong
    assert all("exchange spec.filesPath and spec.batchesPath" in found.message for found in wrong)


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ("https://kong.example/files?apikey=s3cret", "https://kong.example"),
        ("https://user:s3cret@Kong.Example:8443/x#s3cret", "https://kong.example:8443"),
        ("http://kong.example:80/", "http://kong.example"),
        ("https://[::1]:8443/", "https://[::1]:8443"),
        ("//s3cret.example/", None),
        ("/s3cret", None),
        ("javascript:s3cret", None),
        ("https://s3cret secret/", None),
        ("https://s3cret***.example/", None),
        ("https://kong.example:99999999/", None),
        ("https://[s3cret/", None),
        ("", None),
        (None, None),
    ],
)
def test_of_an_address_only_what_can_be_used_is_shown(location: str | None, shown: str | None) -> None:
    assert routes.origin(location) == shown


@pytest.mark.parametrize(
    "location",
    [
        f"https://{canary.CREDENTIAL_WORD}.example/",
        f"https://{canary.CREDENTIAL_WORD.upper()}.example/",
        f"https://x:{canary.CREDENTIAL_WORD}@kong.example/?{canary.CREDENTIAL_WORD}",
        f"/login?{canary.CREDENTIAL_WORD}",
    ],
)
async def test_a_redirect_does_not_show_the_credential(server: Server, location: str) -> None:
    server.answers["/files"] = (302, {"Location": location}, "")
    assert canary.scan([repr(await probe(server))]) == []


def test_what_wants_https_is_told_the_address_to_set() -> None:
    for url, told in (("http://kong.example:8000/files", "https://kong.example:8000"), ("https://k/files", "spec.url")):
        refused = routes.judged("files", _refusal(426), url)
        assert told in refused.message


def _refusal(status: int) -> Failure:

    return from_response(status, httpx.Headers({}), b"", "list files", "kong.example")
