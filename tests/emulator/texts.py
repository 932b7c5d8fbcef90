"""The texts: short, generated, saying that they are emulated, the same for the same prompt."""

from __future__ import annotations

import functools
import hashlib
import json
import re
from typing import Any

# Close to what a real tokenizer counts for English prose: a hyphen belongs to the word after it, a long word is two tokens.
_TOKEN = re.compile(r"-?\w+|[^\w\s]")
_LONG_WORD = re.compile(r"-\w{11,}|\w{12,}")
_TOKENS_PER_MESSAGE = 4
_TOKENS_OF_CONVERSATION = 3

_SUBJECT = re.compile(r"description for an? ([^.\n]{3,120})")
_OPENING = "[Emulated] Meet the {subject}, made for people who want more from every day."
_SENTENCES = (
    "It is easy to set up, simple to live with, and built to last.",
    "Thoughtful design keeps it quiet, tidy, and ready whenever you are.",
    "Every part was chosen to save energy, time, and worry.",
    "Clear controls put you in charge within minutes of opening the box.",
    "Good for your home, kind to the planet, and gentle on your budget.",
    "Friends will ask where you found it, and you will be glad to tell them.",
    "Choose it today and notice the difference tomorrow.",
)
_CONCISE_TOKENS = 59


@functools.lru_cache(maxsize=16)  # for the system prompt, which is the same on every line
def count_tokens(text: str) -> int:
    return len(_TOKEN.findall(text)) + len(_LONG_WORD.findall(text))


def prompt_text(body: dict[str, Any]) -> str:
    """Whatever the request asks about: the last message, the input or the prompt."""
    messages = body.get("messages")
    if isinstance(messages, list) and messages and isinstance(messages[-1], dict):
        return _text(messages[-1].get("content"))
    return _text(body.get("input", body.get("prompt", "")))


def prompt_tokens(body: dict[str, Any]) -> int:
    messages = body.get("messages")
    if not isinstance(messages, list):
        return count_tokens(prompt_text(body))
    contents = [_text(message.get("content")) for message in messages if isinstance(message, dict)]
    return sum(count_tokens(content) + _TOKENS_PER_MESSAGE for content in contents) + _TOKENS_OF_CONVERSATION


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def answer(prompt: str, max_tokens: int | None) -> tuple[str, int, bool]:
    """The text, its tokens, and whether it was cut off by max_tokens."""
    number = _number(prompt)
    natural = _CONCISE_TOKENS if "concise" in prompt else 70 + number % 60
    limit = natural if max_tokens is None else min(natural, max_tokens)
    found = _SUBJECT.search(prompt, 0, 400)
    opening = _OPENING.format(subject=found.group(1) if found else "answer to your request")
    left = limit - count_tokens(opening)
    cut = limit < natural
    text = opening + _continuation(number % len(_SENTENCES), left, cut=cut) if left > 0 else _first(opening, limit)
    return text, limit, cut


@functools.lru_cache(maxsize=4096)  # what a hundred thousand lines have in common
def _continuation(start: int, tokens: int, *, cut: bool) -> str:
    order = (_SENTENCES[(start + step) % len(_SENTENCES)] for step in range(2 * len(_SENTENCES)))
    text = " " + " ".join(order)
    if cut:
        return _first(text, tokens)
    return _first(text, tokens - 1).rstrip(",.") + "."


def _first(text: str, tokens: int) -> str:
    end = 0
    for token in _TOKEN.finditer(text):
        tokens -= count_tokens(token.group())
        if tokens < 0:
            break
        end = token.end()
    return text[:end]


def large_answer(size: int) -> str:
    unit = "[Emulated] large answer. "
    return (unit * (size // len(unit) + 1))[:size]


def embedding(text: str) -> list[float]:
    digest = hashlib.sha256(text.encode(errors="replace")).digest()
    return [round(byte / 127.5 - 1, 6) for byte in digest[:16]]


def _number(text: str) -> int:
    # Not hash(): it differs from one process to the next.
    return int.from_bytes(hashlib.blake2b(text.encode(errors="replace"), digest_size=4).digest())
