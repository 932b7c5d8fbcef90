"""What is fuzzed: each target takes any bytes and raises AssertionError (or whatever broke) when something is wrong.

A target needs no setting: what else varies (sizes of chunks, the model's name) follows from the bytes, so that a kept input
says everything.
"""

import io
import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from zlib import crc32

from llmbatch.jsonl import join, results, scan, split
from llmbatch.jsonl.lines import MAX_LINE_ERRORS, LineChecker
from llmbatch.transfer.edge import upload, validate
from llmbatch.transfer.edge.answers import bare
from llmbatch.transfer.volumes.problem import ProblemError
from tests.edges.plans import upload_plan
from tests.fuzz import model
from tests.fuzz.answers import check_answer, check_refusal, is_shown

CORPUS = Path(__file__).parent / "corpus"
MOST_REQUESTS = 4
NAMES = ("o3", 'ä"\\1 \U0001f600', "")
"""Models to write into the lines: plain, one that must be escaped, none that a user should give."""
EXPECTED = ["a", "b", "c", "prod1", "\ud800"]


def check_split(data: bytes) -> None:
    """Lines are what a split at line feeds gives, wherever the chunks end; longer ones are measured."""
    seed = crc32(data)
    size = 1 + seed % 9
    limit = size + (seed >> 8) % 24
    chunks = (data[at : at + size] for at in range(0, len(data), size))
    expected = [line if len(line) <= limit else split.Overlong(len(line)) for line in model.lines_of(data)]
    assert list(split.lines(chunks, limit)) == expected


def check_lines(data: bytes) -> None:
    """Every line gets the verdict of the model, with and without another model's name."""
    for override in (None, _name(data)):
        checker = LineChecker(model.ENDPOINT, override, MOST_REQUESTS)
        for line in split.lines([data], len(data) + 1):
            checker.check(bytes(line))  # type: ignore[arg-type] # none is too long
        checker.finish()
        try:
            expected = model.complaints(data, override, MOST_REQUESTS)
        except model.UnsureError:
            return
        assert [(item.line, item.field) for item in checker.errors] == expected[:MAX_LINE_ERRORS]
        assert checker.error_count == len(expected)
        assert not any("\n" in item.message or len(item.message) > 300 for item in checker.errors)


def check_upload(data: bytes) -> None:
    """Of a valid input exactly the model's rewriting is sent, however the input is read; of any other, nothing."""
    for override in (None, _name(data)):
        plan = upload_plan("http://gateway", model=override, max_requests=MOST_REQUESTS)
        checker = LineChecker(plan.endpoint, plan.model, plan.max_requests)
        source = _Pieces(data)
        try:
            checked = validate.validate(source, checker, plan)
        except ProblemError:
            assert checker.error_count
            continue
        source.seek(0)
        sent = b"".join(upload.content(source, checked, plan))
        assert sent == model.sent(data, override)
        assert (len(sent), sha256(sent).hexdigest()) == (checked.length, checked.status.sha256)


def check_skim(data: bytes) -> None:
    """Members stand where they are; what isn't JSON gives SkimError and no endless search."""
    try:
        found = [(item.key, data[item.start : item.end]) for item in scan.members(data)]
    except scan.SkimError:
        found = None
    assert found is None or len(found) <= len(data)
    try:
        valid = isinstance(model.strict(data), dict)
    except (model.StrictError, model.UnsureError):
        return
    if valid:
        text = data.decode()
        expected = [(item.key, text[item.start : item.end].encode()) for item in model.members(text)]
        assert found is not None
        assert [(json.loads(key), value) for key, value in found] == expected
    else:
        assert found is None


def check_judge(data: bytes) -> None:
    """A result line is judged as the model does, parsed or skimmed, and what is told of it is short."""
    for line in model.lines_of(data):
        try:
            expected = model.result_of(line)
        except model.UnsureError:
            expected = None
            results.judge(line)
        else:
            _agrees(results.judge(line), expected)
        # Skimming doesn't find out that a text isn't JSON.
        skimmed = results.judge(bytearray(line), long=0)
        if expected is not None:
            _agrees(skimmed, expected)


def _agrees(found: results.ResultLine, expected: model.Result | None) -> None:
    if expected is None:
        assert found == results.UNREADABLE
        return
    assert (found.custom_id, found.succeeded) == (expected.custom_id, expected.succeeded)
    if found.succeeded:
        assert (found.usage or (0, 0, 0)) == expected.tokens
    else:
        assert is_shown(found.code, results.MAX_CODE)
        assert is_shown(found.message, results.MAX_MESSAGE)


def check_join(data: bytes) -> None:
    """Requests and lines find each other as in the model, in both orders; counts add up."""
    for expected in (EXPECTED, None):
        try:
            wanted = model.join(data, expected)
        except model.UnsureError:
            return
        tally = results.Tally()
        joined = join.Join(tally)
        if expected is not None:
            joined.expect(expected)
        offset = 0
        for line in split.lines([data], len(data) + 1):
            kept = bytes(line)  # type: ignore[arg-type] # none is too long
            whole, marks = bare(kept)
            if whole and not whole.isspace():
                joined.place(results.judge(whole), 0, offset + marks, len(whole))
            offset += len(kept) + 1
        assert (joined.malformed, joined.foreign) == (wanted.malformed, wanted.foreign)
        everyone = expected or list(wanted.best)
        for by_completion in (False, True):
            order = everyone if not by_completion else wanted.completion
            lines = [wanted.best[item][1] for item in order if item in wanted.best]
            places = [place for place in joined.places(by_completion=by_completion) if place.length >= 0]
            if expected is not None or by_completion:
                assert [data[place.offset : place.offset + place.length] for place in places] == lines
        assert joined.missing == len(everyone) - len(wanted.best)
        assert [item for _, item in joined.unanswered(everyone)] == [i for i in everyone if i not in wanted.best]
        assert tally.succeeded == sum(succeeded for succeeded, _ in wanted.best.values())
        usage = tally.usage
        told = (usage.input_tokens, usage.output_tokens, usage.total_tokens) if usage else (0, 0, 0)
        assert told == wanted.tokens
        _check_failures(tally, wanted)


def _check_failures(tally: results.Tally, wanted: model.Joined) -> None:
    failed = [results.judge(line) for succeeded, line in wanted.best.values() if not succeeded]
    for item in failed:
        tally.add_failure(item.custom_id or "", item.code, item.message)
    assert tally.failed == len(failed)
    examples = tally.failures()
    assert len(examples) == min(len(failed), results.MAX_FAILURES)
    assert {example.code for _, example in examples} <= {item.code for item in failed}


def _name(data: bytes) -> str:
    return NAMES[crc32(data) % len(NAMES)]


class _Pieces(io.BytesIO):
    """A file that gives a few bytes at a time, as a pipe may."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        # Not so few that a large input takes long.
        self._most = 1 + crc32(data) % 50 + len(data) // 1000

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(self._most if size is None or size < 0 else min(size, self._most))


TARGETS: dict[str, tuple[str, Callable[[bytes], None]]] = {
    "split": ("input", check_split),
    "lines": ("input", check_lines),
    "upload": ("input", check_upload),
    "skim": ("results", check_skim),
    "judge": ("results", check_judge),
    "join": ("results", check_join),
    "answer": ("answers", check_answer),
    "refusal": ("refusals", check_refusal),
}
"""By name: the folder of its seeds below corpus/, and what is done with each input."""


def seeds(folder: str) -> list[bytes]:
    """Give the committed seeds of a folder."""
    return [path.read_bytes() for path in sorted((CORPUS / folder).iterdir())]


def _planted_crash(data: bytes) -> None:
    assert b"}" not in data


def _planted_loop(data: bytes) -> None:
    while b"}" in data:
        pass


def _planted_memory(data: bytes) -> None:
    kept = []
    while b"}" in data:
        kept.append(bytearray(2**24))


PLANTED: dict[str, tuple[str, Callable[[bytes], None]]] = {
    "planted-crash": ("input", _planted_crash),
    "planted-loop": ("input", _planted_loop),
    "planted-memory": ("input", _planted_memory),
}
"""What must be found, or the search is none."""
