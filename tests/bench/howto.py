"""The how-to's calls, as a person would script them for a Job: howto.py <gateway> <batch.jsonl> <results.jsonl> <poll seconds>."""

import json
import sys
import time
import urllib.request
import uuid
from pathlib import Path


def call(url: str, data: bytes | None = None, kind: str = "application/json") -> bytes:
    """Call once."""
    request = urllib.request.Request(url, data, {"Content-Type": kind, "apikey": "canary"})  # noqa: S310 - our own URL
    with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310 - as above
        found: bytes = response.read()
        return found


def main() -> None:
    """Upload, submit, wait, fetch."""
    gateway, given, wanted, seconds = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), float(sys.argv[4])
    edge = uuid.uuid4().hex
    parts = [
        f'--{edge}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'.encode(),
        f'--{edge}\r\nContent-Disposition: form-data; name="file"; filename="batch.jsonl"\r\n'.encode(),
        b"Content-Type: application/jsonl\r\n\r\n",
        given.read_bytes(),
        f"\r\n--{edge}--\r\n".encode(),
    ]
    file = json.loads(call(f"{gateway}/files", b"".join(parts), f"multipart/form-data; boundary={edge}"))
    order = {"input_file_id": file["id"], "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    batch = json.loads(call(f"{gateway}/batches", json.dumps(order).encode()))
    while batch["status"] not in ("completed", "failed", "expired", "cancelled"):
        time.sleep(seconds)
        batch = json.loads(call(f"{gateway}/batches/{batch['id']}"))
    if batch["status"] != "completed":
        sys.exit(f"the batch is {batch['status']}")
    wanted.write_bytes(call(f"{gateway}/files/{batch['output_file_id']}/content"))


if __name__ == "__main__":
    main()
