"""What a batch's endpoint says of its requests: how their url may be written, and whether they may name no model."""

from typing import Any

MODEL_IS_OPTIONAL = ("/moderations", "/images/generations", "/images/edits", "/images/variations", "/videos")
"""Endpoints that choose a model of their own for a request that names none."""


def path_of(url: str) -> str:
    """Bring a request's url and a batch's endpoint to one form: Azure writes both with and without /v1."""
    return url.removeprefix("/v1") if url.startswith("/v1/") else url


def needs_no_model(path: str, body: dict[str, Any]) -> bool:
    """Tell whether a request may leave the model out: the endpoint has a default, or the path or a prompt names it."""
    path = path.rstrip("/")
    if path.endswith(MODEL_IS_OPTIONAL) or "/deployments/" in path:
        return True
    if not path.endswith("/responses"):
        return False
    prompt, agent = body.get("prompt"), body.get("agent")
    named = (prompt.get("id") if isinstance(prompt, dict) else None) or (
        agent.get("name") if isinstance(agent, dict) else None
    )
    return isinstance(named, str) and bool(named)
