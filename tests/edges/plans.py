"""What a plan is made of."""

import json

from llmbatch.provider.pure.connection import Connection
from llmbatch.transfer.pure.plan import UploadPlan

CHAT = "/v1/chat/completions"


def connection_to(url: str, **changes: object) -> Connection:
    """Connect as a BatchGateway with default settings would, but without its patience."""
    given = {"url": url, "files_path": "/files", "batches_path": "/batches", "request_seconds": 5, **changes}
    return Connection.model_validate({"connect_seconds": 5, "transfer_seconds": 10, **given})


def request_line(custom_id: str, prompt: str = "Say hello.", **body: object) -> str:
    messages = [{"role": "user", "content": prompt}]
    body = {"model": "gpt-4o", "messages": messages, "max_tokens": 60, **body}
    return json.dumps({"custom_id": custom_id, "method": "POST", "url": CHAT, "body": body})


def jsonl(*custom_ids: str) -> bytes:
    return "".join(f"{request_line(custom_id)}\n" for custom_id in custom_ids).encode()


def upload_plan(url: str, **changes: object) -> UploadPlan:
    given = {"connection": connection_to(url), "filename": "uid-0-1.jsonl", "endpoint": CHAT, "max_bytes": 10**8}
    return UploadPlan.model_validate({**given, "max_requests": 1000, **changes})
