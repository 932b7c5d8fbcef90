"""Changes that a byte-wise fuzzer would hardly hit upon: valid JSON whose members are absent, of another type, or hostile."""

import json
from random import Random
from typing import Any

LONGEST = 6 * 1024

VALUES: tuple[Any, ...] = (
    None, "", " ", 0, -1, 1, 200, "200", 200.0, True, False, [], {}, [None], {"": ""}, "0", "-5", "12", "1e3", "NaN", "1_0",
    2**31, 2**53, 2**53 + 2, 2**63, 2**64, 10**30, -(10**30), int("9" * 4300), 0.1, 1e17, 1e308, float("nan"), float("inf"),
    "x" * 256, "x" * 257, "x" * 512, "x" * 513, "x" * 1024, "x" * 1025, "ä" * 300, "..", ".", "a/b", "../../admin", "a?b#c", "%2e%2e", "file 1", "file-1\n",
    "\u2028", "a\u202eb", "\ud800", "\x00", "\ufeff", "model", "body", "custom_id", "POST", "/v1/chat/completions", "/chat/completions",
    "completed", "Completed", "COMPLETED ", "failed", "FAILED", "expired", "cancelled", "Canceled", "cancelling", "InProgress", "in progress",
    "pondering", "batch_expired", "quotaExceeded", "token_limit_exceeded", "the file is in 'pending' state", "Resource not found",
    1761817562, "1761817562", 1761817562.5, 1761817562000, -62135596800, 253402300799, 253402300800, "1761817562.25",
    "2025-10-30T09:46:02Z", "2025-10-30T09:46:02", "2025-10-30T01:00:00+09:30", "2025-10-30 09:46:02.123456+00:00", "20251030T094602Z",
    "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "1969-12-31", "2025-W44-4", "24:00",
)  # fmt: skip
KEYS = (
    "custom_id", "method", "url", "body", "model", "stream", "response", "status_code", "error", "code", "message", "type", "usage",
    "prompt_tokens", "completion_tokens", "input_tokens", "output_tokens", "total_tokens", "id", "status", "data", "value", "has_more", "last_id",
    "input_file_id", "output_file_id", "error_file_id", "request_counts", "total", "completed", "failed", "created_at", "in_progress_at",
    "finalizing_at", "completed_at", "failed_at", "expired_at", "cancelled_at", "canceled_at", "expires_at", "metadata", "errors", "line",
    "param", "bytes", "status_details", "", 'a"model', "\u2028",
)  # fmt: skip
PIECES = (
    b"\n", b"\r\n", b"\n\n", b" ", b"\t", b"\x0b", b"\x0c", b"\x00", b"\xef\xbb\xbf", b"\xe2\x80\xa8", b"\xed\xa0\x80", b"\xff", b'"', b"\\",
    b"\\u", b"\\ud800", b"\\udc00", b'\\"', b"{", b"}", b"[", b"]", b",", b":", b"NaN", b"-Infinity", b"1e999", b"-", b"0", b"9" * 4301,
    b"9" * 4301 + b".5", b'"model"', b'"\\u006dodel"', b'"mod\\u0065l":1,', b'"body":1,', b'"body":{},', b'"response":null,', b'"error":{},',
    b"[" * 100, b"]" * 100, b"[" * 199 + b"]" * 199, b'{"a":' * 205, b"[" * 5000, b"null", b"true", b"<html><title>Bad Gateway</title>",
)  # fmt: skip


def mutate(data: bytes, random: Random) -> bytes:
    """Change one thing: a member of a JSON line, the order or number of the lines, or a few bytes."""
    lines = data.split(b"\n")
    at = random.randrange(len(lines))
    choice = random.random()
    if choice < 0.65:
        lines[at] = _changed(lines[at], random)
    elif choice < 0.75:
        lines.insert(random.randrange(len(lines) + 1), lines[at])
    elif choice < 0.8:
        del lines[at]
    elif choice < 0.85:
        random.shuffle(lines)
    else:
        lines[at] = _spliced(lines[at], random)
    return b"\n".join(lines)[:LONGEST]


def _changed(line: bytes, random: Random) -> bytes:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return _spliced(line, random)
    value = _elsewhere(value, random)
    if random.random() < 0.03:
        value = json.dumps(value)
    separators = random.choice(((", ", ": "), (",", ":"), (" ,", "\t:\r")))
    return json.dumps(value, ensure_ascii=random.random() < 0.5, separators=separators).encode("utf-8", "surrogatepass")


def _elsewhere(value: Any, random: Random) -> Any:
    """Change something somewhere inside a value, rather near the top."""
    if isinstance(value, dict) and value and random.random() < 0.85:
        key = random.choice(list(value))
        choice = random.random()
        if choice < 0.12:
            return {name: item for name, item in value.items() if name != key}
        if choice < 0.24:
            return {**value, random.choice(KEYS): random.choice(VALUES)}
        if choice < 0.3:
            return {random.choice(KEYS) if name == key else name: item for name, item in value.items()}
        return {**value, key: _elsewhere(value[key], random)}
    if isinstance(value, list) and value and random.random() < 0.85:
        at = random.randrange(len(value))
        return [*value[:at], _elsewhere(value[at], random), *value[at + 1 :]]
    if isinstance(value, str) and random.random() < 0.2:
        return random.choice(
            (value.upper(), value.capitalize(), f"{value} ", f" {value}", value * 2, value[:-1], json.dumps(value))
        )
    if isinstance(value, int) and random.random() < 0.3:
        return random.choice((str(value), float(value % 2**53), -value, [value], {"data": value}))
    return random.choice(VALUES)


def _spliced(line: bytes, random: Random) -> bytes:
    at = random.randrange(len(line) + 1)
    end = at + random.choice((0, 0, 1, 2, 8, len(line)))
    return line[:at] + random.choice((*PIECES, b"")) + line[end:]
