"""Where Hypothesis takes its bytes from: seeds, changed again and again; requests and answers made of hostile members."""

import json
from collections.abc import Sequence
from random import Random
from typing import Any

from hypothesis import strategies as st

from tests.fuzz import targets
from tests.fuzz.mutate import KEYS, PIECES, VALUES, mutate


def _any_of(items: Sequence[Any]) -> st.SearchStrategy[Any]:
    """Choose one; unlike sampled_from() it never writes all of them out to describe itself."""
    return st.integers(0, len(items) - 1).map(items.__getitem__)


def inputs(folder: str) -> st.SearchStrategy[bytes]:
    """Give bytes for the targets that start from a folder of seeds."""
    seeds = targets.seeds(folder)
    changed = st.builds(_changed, _any_of(seeds), st.integers(0, 2**32), st.integers(0, 8))
    pieces = st.lists(_any_of(PIECES) | st.binary(max_size=8), max_size=30).map(b"".join)
    return changed | MADE[folder] | pieces


def _changed(seed: bytes, number: int, times: int) -> bytes:
    random = Random(number)  # noqa: S311 - a repeatable sequence, no secret
    for _ in range(times):
        seed = mutate(seed, random)
    return seed


def _encoded(value: Any, ascii_only: bool) -> bytes:
    return json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")


def _object(**members: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=members)


_HOSTILE = _any_of(VALUES) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=3),
    max_leaves=6,
)
_ID = st.sampled_from(["a", "b", "c", "prod1", "foreign", "\ud800", "ä\u2028"]) | _HOSTILE
_USAGE = _object(
    prompt_tokens=_HOSTILE, completion_tokens=st.integers(0, 99), total_tokens=_HOSTILE, input_tokens=_HOSTILE
)
_ERROR = _object(code=_HOSTILE, message=_HOSTILE, type=_HOSTILE) | _HOSTILE

_REQUEST = st.fixed_dictionaries(
    {
        "custom_id": st.text(max_size=3) | _ID,
        "method": st.just("POST") | _HOSTILE,
        "url": st.sampled_from(["/v1/chat/completions", "/chat/completions"]) | _HOSTILE,
        "body": _object(model=st.just("gpt-4o") | _HOSTILE, stream=st.just(False) | _HOSTILE, x=_HOSTILE) | _HOSTILE,
    }
)
_RESULT = st.fixed_dictionaries(
    {"custom_id": _ID},
    optional={
        "response": _object(
            status_code=st.sampled_from([200, "200", 429, 0]) | _HOSTILE,
            body=_object(usage=_USAGE | _HOSTILE, error=_ERROR, id=_HOSTILE) | _HOSTILE,
        )
        | _HOSTILE,
        "error": st.none() | _ERROR,
        "id": _HOSTILE,
    },
)
_MOMENTS = (
    "created_at",
    "in_progress_at",
    "finalizing_at",
    "completed_at",
    "failed_at",
    "expired_at",
    "cancelled_at",
    "expires_at",
)
_BATCH = st.fixed_dictionaries(
    {"id": st.sampled_from(["batch_1", 7]) | _HOSTILE},
    optional={
        **dict.fromkeys((*_MOMENTS, "canceled_at", "output_file_id", "error_file_id", "input_file_id", "bytes", "status_details"), _HOSTILE),
        "status": _HOSTILE,
        "request_counts": _object(total=_HOSTILE, completed=_HOSTILE, failed=_HOSTILE) | _HOSTILE,
        "metadata": st.dictionaries(st.sampled_from(KEYS), _HOSTILE, max_size=3) | _HOSTILE,
        "errors": _object(data=st.lists(_object(code=_HOSTILE, message=_HOSTILE, line=_HOSTILE, param=_HOSTILE) | _HOSTILE, max_size=3)) | _HOSTILE,
    },
)  # fmt: skip
_PAGE = _object(
    data=st.lists(_BATCH, max_size=3) | _HOSTILE,
    value=st.lists(_BATCH, max_size=2),
    has_more=_HOSTILE,
    last_id=_HOSTILE,
)
_REFUSED = _object(error=_ERROR, message=_HOSTILE, code=_HOSTILE)


def _lines(item: st.SearchStrategy[Any]) -> st.SearchStrategy[bytes]:
    line = st.builds(_encoded, item, st.booleans()) | st.sampled_from([b"", b" ", b"\r"])
    return st.builds(
        lambda found, end: b"\n".join(found) + end, st.lists(line, max_size=6), st.sampled_from([b"", b"\n"])
    )


_HEADER = st.text(max_size=30).map(lambda text: text.encode().replace(b"\n", b"")) | st.sampled_from(
    [b"", b"0", b"30", b"-1", b"1e300", b"nan", b"Fri, 31 Dec 1999 23:59:59 GMT", b"Fri, 31 Dec 9999 23:59:59 -1400"]
)
MADE: dict[str, st.SearchStrategy[bytes]] = {
    "input": _lines(_REQUEST),
    "results": _lines(_RESULT),
    "answers": st.builds(_encoded, _BATCH | _PAGE | _BATCH.map(json.dumps), st.booleans()),
    "refusals": st.builds(
        lambda after, kind, body: b"\n".join((after, kind, body)),
        _HEADER,
        st.sampled_from([b"", b"application/json", b"text/html"]) | _HEADER,
        st.builds(_encoded, _REFUSED, st.booleans()),
    ),
}
"""Bytes of the shape that belongs to a folder of seeds."""
