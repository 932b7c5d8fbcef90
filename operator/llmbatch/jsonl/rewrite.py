"""The rewriting of an input's lines for another model: body.model is replaced, and every other byte stays."""

import json
import re

from pydantic_core import from_json

from llmbatch.jsonl import scan

# The text json puts where a model's name may be written with escapes: m, o, d, e, l.
_ESCAPED_LETTER = re.compile(rb"\\u006[dDfF45cC]")
# Possessive: were there a way back, each character of a long name would take memory to remember it.
_MODEL_MEMBER = re.compile(rb'"model"[ \t\r]*:[ \t\r]*("[^"\\]*+(?:\\.[^"\\]*+)*+")')


class Rewriter:
    """Puts one model's name into lines; without a name they stay as they are."""

    def __init__(self, model: str | None) -> None:
        """Take the name that the job gives."""
        self._name = None if model is None else json.dumps(model, ensure_ascii=False).encode()

    def rewrite(self, line: bytes) -> bytes:
        """Replace body.model in a line that was found valid and is clean."""
        name = self._name
        if name is None:
            return line
        # The common case: "model" is written once in the whole line, so it is body.model (the check saw to that).
        if line.count(b'"model"') == 1 and not _ESCAPED_LETTER.search(line):
            match = _MODEL_MEMBER.search(line)
            if match is not None and _is_body_member(line):
                return line[: match.start(1)] + name + line[match.end(1) :]
        return _rewritten_anywhere(line, name)


def _is_body_member(line: bytes) -> bool:
    body = from_json(line).get("body", {})
    return isinstance(body.get("model"), str)


def _rewritten_anywhere(line: bytes, name: bytes) -> bytes:
    edits: list[tuple[int, int, bytes]] = []
    for outer in scan.members(line):
        # A member that is given twice counts as the last one says, so an earlier body may be anything.
        if json.loads(outer.key) != "body" or line[outer.start : outer.start + 1] != b"{":
            continue
        models = [inner for inner in scan.members(line, outer.start) if json.loads(inner.key) == "model"]
        edits += [(inner.start, inner.end, name) for inner in models]
        if not models:
            empty = not any(True for _ in scan.members(line, outer.start))
            new = b'"model": ' + name + (b"" if empty else b", ")
            edits.append((outer.start + 1, outer.start + 1, new))
    # Put together once: to make the line anew for each edit takes a time that grows with the square of their number.
    parts: list[bytes] = []
    done = 0
    for start, end, new in edits:
        parts += (line[done:start], new)
        done = end
    return b"".join((*parts, line[done:]))
