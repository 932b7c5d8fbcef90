"""The server itself: instances apart from each other, a true record, and nothing lost in a kill."""

from __future__ import annotations

import hashlib
import socket
import ssl
from pathlib import Path

import httpx
import pytest
import trustme

from tests.emulator import serving
from tests.emulator.conftest import FIVE, Wire, jsonl, request_line, wait_for
from tests.emulator.server import EmulatorProcess, EmulatorServer


def test_instances_know_nothing_of_each_other(azure: Wire, openai: Wire) -> None:
    batch = azure.start(FIVE)
    azure.instance.advance(1_000_000)
    azure.instance.fault("status", status=500, times=-1)
    assert openai.http.get(f"/batches/{batch['id']}").status_code == 404
    assert openai.instance.files() == []
    assert openai.upload(FIVE).json()["created_at"] < azure.instance.files()[0]["created_at"] + 1000


def test_the_default_instance_is_served_at_the_root(emulator: EmulatorServer) -> None:
    assert httpx.get(f"{emulator.url}/files").json() == {"data": [], "object": "list"}
    assert httpx.get(f"{emulator.url}/healthz").status_code == 200
    assert httpx.get(f"{emulator.url}/i/unheard-of/files").status_code == 404


def test_calls_are_recorded_with_what_they_carried(azure: Wire) -> None:
    azure.http.headers["apikey"] = "secret"
    batch = azure.start(FIVE, metadata={"run": "7"})
    upload, create = azure.instance.calls()
    assert (upload["operation"], upload["status"]) == ("files.create", 201)
    assert upload["upload"] == {
        "filename": "batch.jsonl",
        "bytes": 1560,
        "content_type": "application/jsonl",
        "sha256": hashlib.sha256(FIVE).hexdigest(),
        "fields": {"purpose": "batch"},
    }
    assert create["body"]["metadata"] == {"run": "7"}
    assert create["answer_id"] == batch["id"]
    assert create["headers"]["apikey"] == "secret"
    azure.instance.clear_calls()
    assert azure.instance.calls() == []


def test_the_same_post_twice_makes_two_batches(azure: Wire) -> None:
    file_id = azure.upload(FIVE).json()["id"]
    assert azure.create(file_id).json()["id"] != azure.create(file_id).json()["id"]


def test_a_foreign_batch_can_be_put_in(azure: Wire) -> None:
    file_id = azure.upload(FIVE).json()["id"]
    twin = azure.instance.insert_batch(input_file_id=file_id, metadata={"who": "else"}, age_seconds=3600)
    done = azure.instance.insert_batch(status="completed")
    assert azure.batch(twin["id"])["status"] == "completed"
    assert [batch["id"] for batch in azure.http.get("/batches").json()["data"]] == [done["id"], twin["id"]]
    assert azure.instance.calls("batches.create") == []


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"colour": "red"}, "colour: no such key"),
        ({"dialect": "aws"}, "dialect: expected one of 'azure', 'openai'"),
        ({"validating_seconds": "1"}, "validating_seconds: expected float"),
        ({"validating_seconds": -1}, "validating_seconds: expected zero or more"),
        ({"max_files": True}, "max_files: expected int"),
        ({"models": ["a", 1]}, r"models\[1\]: expected str"),
        ({"kong": {"header": None}}, "kong.header: expected str"),
        ({"quirks": "all"}, "quirks: expected an object"),
    ],
)
def test_a_wrong_configuration_is_refused_by_name(azure: Wire, changes: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        azure.instance.configure(**changes)


def test_a_change_of_configuration_keeps_the_rest(azure: Wire) -> None:
    azure.instance.configure(kong={"header": "x-key"})
    azure.instance.configure(kong={"routes": ["files"]}, seed=3)
    config = azure.instance.show()["config"]
    assert (config["kong"]["header"], config["kong"]["routes"], config["seed"]) == ("x-key", ["files"], 3)


def test_nothing_that_was_answered_is_lost_in_a_kill(tmp_path: Path) -> None:
    with EmulatorProcess(tmp_path) as emulator:
        instance = emulator.instance("kept", in_progress_seconds=1000)
        with httpx.Client(base_url=instance.url) as http:
            wire = Wire(instance, http)
            content = jsonl(*(request_line(f"line-{number}") for number in range(100)))
            running = wire.start(content, metadata={"run": "7"})
            wait_for(wire, running["id"], "in_progress")
            emulator.restart()
            assert wire.http.get(f"/files/{running['input_file_id']}/content").content == content
            assert wire.batch(running["id"])["status"] == "in_progress"
            instance.advance(2000)
            emulator.restart()
            done = wire.batch(running["id"])
            assert (done["status"], done["metadata"]) == ("completed", {"run": "7"})
            lines = wire.results(done["output_file_id"])
            emulator.restart()
            assert wire.results(done["output_file_id"]) == lines


def test_an_upload_that_was_cut_off_leaves_nothing(azure: Wire) -> None:
    body = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.jsonl"\r\n\r\n{}'
    answer = azure.http.post("/files", content=body, headers={"Content-Type": "multipart/form-data; boundary=x"})
    assert answer.status_code == 400
    assert azure.instance.files() == []


def test_it_serves_tls_and_can_ask_for_a_clients_certificate(tmp_path: Path) -> None:
    authority = trustme.CA()
    server = authority.issue_cert("127.0.0.1")
    files = {name: str(tmp_path / name) for name in ("cert", "key", "ca")}
    server.cert_chain_pems[0].write_to_path(files["cert"])
    server.private_key_pem.write_to_path(files["key"])
    authority.cert_pem.write_to_path(files["ca"])
    trusting = ssl.create_default_context(cafile=files["ca"])
    with EmulatorServer(certfile=files["cert"], keyfile=files["key"], verify=trusting) as emulator:
        instance = emulator.instance()
        assert httpx.get(f"{instance.url}/files", verify=trusting).status_code == 200
        instance.fault("reset_before")
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{instance.url}/files", verify=trusting)
    known = ssl.create_default_context(cafile=files["ca"])
    authority.issue_cert("client@example.org").configure_cert(known)
    with EmulatorServer(certfile=files["cert"], keyfile=files["key"], client_ca=files["ca"], verify=known) as emulator:
        assert httpx.get(f"{emulator.instance().url}/files", verify=known).status_code == 200
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{emulator.url}/files", verify=trusting)


def test_on_all_addresses_it_is_called_by_ipv4_and_by_ipv6() -> None:
    """In a cluster of IPv6 alone its pod has no other address."""
    opened = serving.listeners("::", 0)
    assert opened is not None
    with opened[0] as listener:
        port = listener.getsockname()[1]
        for host in ("127.0.0.1", "::1"):
            socket.create_connection((host, port), timeout=5).close()
    assert serving.listeners("127.0.0.1", 0) is None, "the server opens its own"
