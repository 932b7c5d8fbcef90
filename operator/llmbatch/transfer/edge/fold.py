"""Puts the outcomes of several attempts at the same requests together: of each the first success counts, else the last failure."""

from collections.abc import Iterator
from contextlib import ExitStack
from hashlib import sha256
from typing import BinaryIO

from llmbatch.api.reasons import Reason
from llmbatch.jsonl import outcomes
from llmbatch.jsonl.ids import FirstLines
from llmbatch.jsonl.outcomes import Kind, Outcome, Places
from llmbatch.jsonl.results import Tally, judge
from llmbatch.transfer.pure.plan import MergePlan, StoredPart, part_name
from llmbatch.transfer.volumes import sources
from llmbatch.transfer.volumes.problem import ProblemError
from llmbatch.transfer.volumes.publishing import Sheet
from llmbatch.transfer.volumes.volume import Folder


class Attempts:
    """The stored outcomes of a job's batches. Holds where those of one batch of each attempt stand, never a line."""

    def __init__(self, parts: list[StoredPart], stored: Folder, stack: ExitStack) -> None:
        """Take what was stored in a folder."""
        self._stored, self._stack = stored, stack
        self._followers = {(part, item.attempt or 1): item for item in parts for part in item.parts or ()}
        self._followed: dict[str, list[StoredPart]] = {}
        for item in parts:
            if (later := self.follower(item)) is not None:
                self._followed.setdefault(_name(later), []).append(item)
        self._files: dict[str, BinaryIO] = {}
        self._places: dict[int, tuple[str, Places]] = {}

    def follower(self, batch: StoredPart) -> StoredPart | None:
        """Give the batch that sent a batch's unfinished requests again."""
        return self._followers.get((batch.part, (batch.attempt or 1) + 1))

    def all_of(self, batch: StoredPart) -> Iterator[Outcome]:
        """Read a batch's outcomes."""
        return map(outcomes.read, self._lines(batch))

    def asked_of(self, batch: StoredPart) -> FirstLines:
        """Give the requests that a later attempt was made for."""
        asked = FirstLines()
        for followed in self._followed.get(_name(batch), []):
            for number, outcome in enumerate(outcomes.unfinished(self._lines(followed)), 1):
                asked.first(outcome.custom_id, number)
        return asked

    def later(self, batch: StoredPart, outcome: Outcome) -> tuple[StoredPart, Outcome] | None:
        """Give what the next attempt at a request has come to, if there was one."""
        follower = self.follower(batch)
        if follower is None or outcome.kind is not Kind.UNFINISHED:
            return None
        offset = self._places_of(follower).find(outcome.custom_id)
        if offset is None:
            return None
        file = self._file(follower)
        file.seek(offset)
        return follower, outcomes.read(file.readline())

    def last(self, batch: StoredPart, outcome: Outcome) -> Outcome:
        """Give what the last attempt at a request has come to."""
        while (found := self.later(batch, outcome)) is not None:
            batch, outcome = found
        return outcome

    def _places_of(self, batch: StoredPart) -> Places:
        attempt, name = batch.attempt or 1, _name(batch)
        known = self._places.get(attempt)
        if known is None or known[0] != name:
            known = self._places[attempt] = (name, Places(self._lines(batch)))
        return known[1]

    def _lines(self, batch: StoredPart) -> Iterator[bytes]:
        with self._stored.open(_name(batch)) as file:
            yield from file

    def _file(self, batch: StoredPart) -> BinaryIO:
        """Open a batch's outcomes for reading here and there."""
        name = _name(batch)
        if name not in self._files:
            self._files[name] = self._stack.enter_context(self._stored.open(name))
        return self._files[name]


def fold(plan: MergePlan, stored: Folder, good: Sheet, bad: Sheet, tally: Tally) -> None:
    """Write the results and the failed requests.

    Raises:
        ProblemError: What was stored is gone, or something else.
    """
    for part in plan.parts:
        _verify(part, stored)

    def write(outcome: Outcome) -> None:
        if outcome.kind is Kind.SUCCEEDED:
            good.add(outcome.line)
            return
        result = judge(outcome.line)
        tally.add_failure(result.custom_id or "", result.code, result.message)
        bad.add(outcome.line)

    with ExitStack() as stack:
        attempts = Attempts(plan.parts, stored, stack)
        if plan.order == "Completion":
            for batch in plan.parts:
                asked = attempts.asked_of(batch) if batch.parts else None
                for outcome in attempts.all_of(batch):
                    # Read again, an answer may be there that wasn't when the request was sent again: the first one counts.
                    mine = asked is None or asked.find(outcome.custom_id)
                    if mine and attempts.later(batch, outcome) is None:
                        write(outcome)
            return
        for batch in sorted(plan.parts, key=lambda item: item.part):
            if not batch.parts:
                for outcome in attempts.all_of(batch):
                    write(attempts.last(batch, outcome))


def _verify(part: StoredPart, stored: Folder) -> None:
    digest, size = sha256(), 0
    with stored.open(_name(part)) as file:
        for chunk in sources.chunks(file):
            digest.update(chunk)
            size += len(chunk)
    if (size, digest.hexdigest()) != (part.bytes, part.sha256):
        raise changed(stored, _name(part))


def changed(stored: Folder, name: str) -> ProblemError:
    """Say that a file is not what was stored."""
    told = (
        f"{stored.shown(name)}: is not what was stored there; bring it back, or delete the BatchJob and apply it again"
    )
    return ProblemError(Reason.OUTPUT_INVALID, told)


def _name(part: StoredPart) -> str:
    return part_name(part.part, part.attempt)
