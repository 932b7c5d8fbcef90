"""Who is let in and where: Kong's own answers, and the service's without Kong."""

from __future__ import annotations

import httpx
import pytest

from tests.emulator.conftest import FIVE, Wire
from tests.emulator.route import AZURE_UNAUTHORIZED


def test_kong_wants_a_key_where_it_has_consumers(azure: Wire) -> None:
    azure.instance.configure(kong={"consumer_keys": ["secret"]})
    missing = azure.http.get("/files")
    assert missing.status_code == 401
    assert missing.json() == {
        "message": "No API key found in request",
        "request_id": missing.headers["x-kong-request-id"],
    }
    assert missing.headers["www-authenticate"] == 'Key realm="kong"'
    assert missing.headers["server"].startswith("kong/")
    wrong = azure.http.get("/files", headers={"apikey": "wrong", "Authorization": "Bearer secret"})
    assert (wrong.status_code, wrong.json()["message"]) == (401, "Unauthorized")
    assert azure.http.get("/files", headers={"apikey": "secret"}).status_code == 200
    assert azure.http.get("/files", params={"apikey": "secret"}).status_code == 200


def test_kong_brings_the_services_key_whatever_the_client_sent(azure: Wire) -> None:
    azure.instance.configure(api_keys=["right"], kong={"upstream_api_key": "right"})
    assert azure.http.get("/files", headers={"Authorization": "Bearer wrong"}).status_code == 200
    azure.instance.configure(kong={"upstream_api_key": "wrong"})
    refused = azure.http.get("/files", headers={"Authorization": "Bearer right"})
    assert (refused.status_code, refused.json()) == (401, {"error": {"code": "401", "message": AZURE_UNAUTHORIZED}})
    assert refused.headers["via"].startswith("1.1 kong/")


@pytest.mark.parametrize("path", ["/", "/nowhere", "/openai/files", "/v1/files"])
def test_kong_has_no_route_but_its_own(azure: Wire, path: str) -> None:
    answer = azure.http.get(path)
    assert (answer.status_code, answer.json()["message"]) == (404, "no Route matched with those values")


def test_a_missing_batches_route_leaves_the_files_route(azure: Wire) -> None:
    azure.instance.configure(kong={"routes": ["files"]})
    assert azure.http.get("/files").status_code == 200
    assert azure.http.get("/batches").json()["message"] == "no Route matched with those values"


def test_kong_refuses_bodies_over_its_limit(azure: Wire) -> None:
    azure.instance.configure(kong={"max_body_bytes": 10_000})
    assert azure.upload(FIVE).status_code == 201
    answer = azure.upload(b"x" * 5_000_000)
    assert (answer.status_code, answer.json()["message"]) == (413, "Payload too large")
    assert len(azure.instance.files()) == 1


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/openai/files?api-version=2025-01-01-preview", 200),
        ("/openai/v1/files", 200),
        ("/openai/files", 404),
        ("/openai/deployments/gpt-4o/files?api-version=2025-01-01-preview", 404),
        ("/files", 404),
    ],
)
def test_azures_own_paths(azure: Wire, path: str, status: int) -> None:
    azure.instance.configure(kong={"enabled": False})
    answer = azure.http.get(path)
    assert answer.status_code == status
    assert "via" not in answer.headers
    if status == 404:
        assert answer.json() == {"error": {"code": "404", "message": "Resource not found"}}


def test_azures_v1_answers_200_to_an_upload_and_201_to_a_create(azure: Wire) -> None:
    azure.instance.configure(kong={"enabled": False})
    azure.http.base_url = httpx.URL(f"{azure.instance.url}/openai/v1")
    upload = azure.upload(FIVE)
    assert upload.status_code == 200
    assert azure.create(upload.json()["id"]).status_code == 201
    assert azure.http.get("/files", params={"limit": 1}).json()["has_more"] is False


def test_azure_takes_its_key_in_either_header(azure: Wire) -> None:
    azure.instance.configure(kong={"enabled": False}, api_keys=["secret"])
    statuses = [
        azure.http.get("/openai/v1/files", headers=headers).status_code
        for headers in ({"api-key": "secret"}, {"Authorization": "Bearer secret"}, {"api-key": "wrong"}, {})
    ]
    assert statuses == [200, 200, 401, 401]


def test_openai_refuses_a_wrong_key_in_its_own_words(openai: Wire) -> None:
    openai.instance.configure(kong={"enabled": False}, api_keys=["secret"])
    answer = openai.http.get("/v1/files", headers={"Authorization": "Bearer wrong"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")


def test_unknown_ids_are_404_in_the_dialects_words(azure: Wire, openai: Wire) -> None:
    for wire, code in ((azure, "notFound"), (openai, None)):
        for path in ("/files/none", "/files/none/content", "/batches/none"):
            answer = wire.http.get(path)
            assert (answer.status_code, answer.json()["error"]["code"]) == (404, code)
