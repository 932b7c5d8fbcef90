"""The body of a line's answer, in the shape of the endpoint that the line calls."""

from __future__ import annotations

import dataclasses
from typing import Any

from tests.emulator import texts
from tests.emulator.config import Config
from tests.emulator.markers import Marker

_SAFE = {name: {"filtered": False, "severity": "safe"} for name in ("hate", "self_harm", "sexual", "violence")}
_PROMPT_FILTER = [
    {"prompt_index": 0, "content_filter_results": {**_SAFE, "jailbreak": {"filtered": False, "detected": False}}}
]


@dataclasses.dataclass(frozen=True)
class Answered:
    """One request and what was made up for it."""

    body: dict[str, Any]
    token: str  # the deterministic part of every id
    created: int
    text: str
    prompt_tokens: int
    completion_tokens: int
    finish_reason: str

    @property
    def model(self) -> str:
        """The model's version: what answers, and not the name of the deployment."""
        model = self.body.get("model")
        return "gpt-4o-2024-11-20" if model == "gpt-4o" else str(model)

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens


def _limit(body: dict[str, Any]) -> int | None:
    for name in ("max_completion_tokens", "max_output_tokens", "max_tokens"):
        if isinstance(body.get(name), int):
            return int(body[name])
    return None


def complete(body: dict[str, Any], marker: Marker, token: str, created: int) -> Answered:
    prompt = texts.prompt_text(body)
    text, tokens, cut = texts.answer(prompt, _limit(body))
    reason = "length" if cut else "stop"
    if marker.word == "filtered-completion":
        text, tokens, reason = "", 0, "content_filter"
    elif marker.large_bytes is not None:
        text, reason = texts.large_answer(marker.large_bytes), "stop"
        tokens = marker.large_bytes // 4
    return Answered(body, token, created, text, texts.prompt_tokens(body), tokens, reason)


def render(answered: Answered, url: str, config: Config) -> dict[str, Any]:
    match url.removeprefix("/v1"):
        case "/responses":
            return _response(answered)
        case "/embeddings":
            return _embeddings(answered)
        case "/completions":
            return _text_completion(answered, config)
        case _:
            return _chat(answered, config)


def _usage(answered: Answered, config: Config) -> dict[str, Any]:
    usage: dict[str, Any] = {
        "completion_tokens": answered.completion_tokens,
        "prompt_tokens": answered.prompt_tokens,
        "total_tokens": answered.total_tokens,
    }
    if config.dialect == "openai":
        usage["prompt_tokens_details"] = {"cached_tokens": 0, "audio_tokens": 0}
        usage["completion_tokens_details"] = {"reasoning_tokens": 0, "audio_tokens": 0}
    return usage


def _chat(answered: Answered, config: Config) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": answered.text, "refusal": None, "annotations": []}
    choice: dict[str, Any] = {"index": 0, "message": message, "finish_reason": answered.finish_reason, "logprobs": None}
    body = {
        "id": f"chatcmpl-{answered.token}",
        "object": "chat.completion",
        "created": answered.created,
        "model": answered.model,
        "choices": [choice],
        "usage": _usage(answered, config),
        "system_fingerprint": "fp_emulated",
    }
    if config.quirks.content_filter_results:
        choice["content_filter_results"] = _SAFE
        body["prompt_filter_results"] = _PROMPT_FILTER
    return body


def _text_completion(answered: Answered, config: Config) -> dict[str, Any]:
    choice = {"index": 0, "text": answered.text, "finish_reason": answered.finish_reason, "logprobs": None}
    return {
        "id": f"cmpl-{answered.token}",
        "object": "text_completion",
        "created": answered.created,
        "model": answered.model,
        "choices": [choice],
        "usage": _usage(answered, config),
    }


def _response(answered: Answered) -> dict[str, Any]:
    reasons = {"length": "max_output_tokens", "content_filter": "content_filter"}
    reason = reasons.get(answered.finish_reason)
    status = "incomplete" if reason else "completed"
    content = [{"type": "output_text", "text": answered.text, "annotations": []}]
    message = {
        "id": f"msg_{answered.token}",
        "type": "message",
        "status": status,
        "role": "assistant",
        "content": content,
    }
    return {
        "id": f"resp_{answered.token}",
        "object": "response",
        "created_at": answered.created,
        "status": status,
        "error": None,
        "incomplete_details": {"reason": reason} if reason else None,
        "model": answered.model,
        "output": [message],
        "usage": {
            "input_tokens": answered.prompt_tokens,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": answered.completion_tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": answered.total_tokens,
        },
    }


def _embeddings(answered: Answered) -> dict[str, Any]:
    inputs = answered.body.get("input", "")
    items = inputs if isinstance(inputs, list) else [inputs]
    vectors = [
        {"object": "embedding", "index": index, "embedding": texts.embedding(str(item))}
        for index, item in enumerate(items)
    ]
    usage = {"prompt_tokens": answered.prompt_tokens, "total_tokens": answered.prompt_tokens}
    return {"object": "list", "data": vectors, "model": answered.model, "usage": usage}
