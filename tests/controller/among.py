"""Tests that run twice: with the only batch of a job, and with the second of three, beside which the others go on."""

import json
from collections.abc import Iterable
from typing import Any

import pytest

from llmbatch.api.base import without_nulls
from llmbatch.api.batch_status import Batch, Summary
from llmbatch.api.batchjob_status import BatchJobStatus
from llmbatch.api.reasons import Reason
from tests.controller.lines import FIVE, jsonl
from tests.emulator.client import Instance
from tests.support import build
from tests.support.apiserver import ApiServer
from tests.support.apistore import Json
from tests.support.inprocess import Operator, apply_all

ALONE, SECOND = "the only one", "the second of three"
AFTER = "after"
OVER = ("Complete", "Failed")


def also_second(cases: Iterable[Any], *ids: str) -> list[Any]:
    """Give cases with the only batch, and those of these ids with the second of three besides, for a last parameter `among`."""
    known = [(case.values, str(case.id)) for case in cases]
    assert set(ids) <= {name for _, name in known}
    alone = [pytest.param(*values, ALONE, id=name) for values, name in known]
    return alone + [pytest.param(*values, SECOND, id=f"{name}; {SECOND}") for values, name in known if name in ids]


class Among:
    """The batch that a test is about, among those of its job: the same file, though other parts may lie around it."""

    def __init__(self, kong: Instance, *, several: bool) -> None:
        """Say whether it is the second of three."""
        self.kong, self.several = kong, several
        self.index, self.count = (1, 3) if several else (0, 1)
        self.before: list[str] = []
        """Requests of the part before."""

    @property
    def nth(self) -> int | None:
        """Which of the files and batches that are made is meant, for who counts them; None: all."""
        return self.index if self.several else None

    # --- the job -----------------------------------------------------------------------------------------------------

    def job(self, **given: Any) -> Json:
        """Make a job; one of several waits for its clean-up however busy the machine is."""
        if not self.several:
            return build.batchjob(**given)
        policy = {"cleanupTimeoutSeconds": 120, **given.pop("deletionPolicy", {})}
        return build.batchjob(splitPolicy="Auto", deletionPolicy=policy, **given)

    def spread(self, content: bytes) -> bytes:
        """Give an input of which this is the part that the test is about."""
        self.before = [f"before-{number}" for number in range(len(content.splitlines()))] if self.several else []
        return jsonl(*self.before) + content + jsonl(AFTER) if self.several else content

    def gateway(self, content: bytes = FIVE, **given: Any) -> Json:
        """Give what the spec of a gateway says, so that this content is one part."""
        limits = {"limits": {"maxRequestsPerFile": len(content.splitlines())}} if self.several else {}
        return {**limits, **given}

    def apply(self, api: ApiServer, content: bytes = FIVE, job: Json | None = None, **gateway: Any) -> None:
        """Apply the job, its input and a gateway."""
        apply_all(api, self.kong, self.spread(content), job or self.job(), **self.gateway(content, **gateway))

    def whole(self, *ids: str) -> list[str]:
        """Give the custom_ids of the results of all batches, by those of this one."""
        return [*self.before, *ids, AFTER] if self.several else list(ids)

    def own(self, api: ApiServer, suffix: str = "") -> list[str]:
        """Give the custom_ids of its stored lines."""
        return [name for name in self.stored(api, suffix) if name not in {*self.before, AFTER}]

    def stored(self, api: ApiServer, suffix: str = "", *, key: str = "r.jsonl") -> list[str]:
        """Give the custom_ids of the stored lines."""
        lines = api.data("secrets", "results", f"{key}{suffix}").splitlines()
        return [json.loads(line)["custom_id"] for line in lines]

    # --- what goes wrong ---------------------------------------------------------------------------------------------

    def fault(self, kind: str, operation: str, **details: Any) -> None:
        """Have something go wrong with its upload or create call."""
        self.kong.fault(kind, operation, **{"skip": self.index, **details})

    def configure(self, **changes: object) -> None:
        """Have the provider treat it in another way than others."""
        self.kong.configure(only={"llmbatch_part": "1"} if self.several else {}, **changes)

    # --- what is known -----------------------------------------------------------------------------------------------

    def batch(self, operator: Operator) -> Batch:
        """Give what status says of it; nothing before there is one."""
        batches = operator.status().batches
        return batches[self.index] if len(batches) > self.index else Batch()

    def retold(self, operator: Operator, whole: Json | None = None, **changes: Any) -> Json:
        """Give the stored status with something else said of it, and perhaps of the job."""
        stored = operator.job()["status"]
        entries: list[Json] = stored["batches"]
        entries[self.index] = {**entries[self.index], **changes}
        told = {name: value for name, value in stored.items() if name not in Summary.names()}
        status: Json = without_nulls({**told, "batches": entries, **(whole or {})})
        return BatchJobStatus.parse(status).dump()

    def patched(self, body: Json) -> Json:
        """Give what a write says of it; nothing if it says nothing of the job's batches."""
        batches = (body.get("status") or {}).get("batches") or []
        return batches[self.index] if len(batches) > self.index else {}

    def withdraws(self, body: Json) -> bool:
        """Tell whether a write takes its intent away, and records no batch in its place."""
        said, entry = body.get("status") or {}, self.patched(body)
        gone = "submission" in said and said["submission"] is None
        return gone and "inputFileID" in entry and not {"submission", "id"} & entry.keys()

    def reason(self, operator: Operator) -> str:
        """Give the reason of the Ready condition, or what stands for it of one of several."""
        state = self.batch(operator).state
        return (state.reason if state is not None else "") if self.several else operator.reason()

    def failed(self, status: BatchJobStatus) -> bool:
        """Tell whether the verdict is that it has failed."""
        state = status.batches[self.index].state
        return (state is not None and state.phase == "Failed") if self.several else status.holds("Failed")

    def told(self, operator: Operator) -> str:
        """Give the message that belongs to the reason."""
        state, ready = self.batch(operator).state, operator.status().condition("Ready")
        if self.several:
            return state.message if state is not None else ""
        return ready.message if ready is not None else ""

    def call(self, attempt: int) -> str:
        """Name a create call for it, as the annotation does by which a person has it made."""
        return f"1-{attempt}" if self.several else str(attempt)

    def checked(self, operator: Operator) -> bool:
        """Tell whether it was searched for duplicates of it."""
        return self.batch(operator).duplicates_checked_time is not None

    def creates(self) -> list[Json]:
        """Give the create calls for it."""
        return [call for call in self.kong.calls("batches.create") if not self.several or self._is_it(call["body"])]

    def uploads(self) -> list[Json]:
        """Give the uploads of its file."""
        # The one after it may be about to be read.
        calls = [call for call in self.kong.calls("files.create") if call["upload"] or call["fault"] or call["status"]]
        # Of those that were not read nothing is known; they are its own, since nobody else's fail.
        names = [str((call["upload"] or {}).get("filename") or "") for call in calls]
        wanted = [not self.several or not name or "-1-" in name[36:] for name in names]
        return [call for call, is_wanted in zip(calls, wanted, strict=True) if is_wanted]

    def files(self, operator: Operator) -> set[str]:
        """Give the ids of its files at the provider."""
        batch = self.batch(operator)
        return {name for name in (batch.input_file_id, batch.output_file_id, batch.error_file_id) if name}

    def kept(self, operator: Operator) -> bool:
        """Tell whether its files, and no other batch's, are at the provider."""
        return {file["id"] for file in self.kong.files() if not file["deleted"]} == self.files(operator)

    def copies(self) -> list[str]:
        """Give the names of the uploads of its file that are at the provider."""
        names = [file["filename"] for file in self.kong.files() if not file["deleted"] and file["purpose"] == "batch"]
        return [name for name in names if not self.several or "-1-" in name[36:]]

    def states(self) -> dict[str, str]:
        """Give the provider's batches that were made of its file, by id."""
        files = {call["body"]["input_file_id"] for call in self.creates()}
        return {item["id"]: item["object"]["status"] for item in self.kong.batches() if item["input_file_id"] in files}

    def is_of(self, metadata: Json | None) -> bool:
        """Tell by its metadata whether a batch is this one."""
        return not self.several or (metadata or {}).get("llmbatch_part") == "1"

    def _is_it(self, order: Json | None) -> bool:
        # A call under way may not have been read yet.
        return order is not None and self.is_of(order["metadata"])

    # --- how it goes on ----------------------------------------------------------------------------------------------

    async def until_reason(self, operator: Operator, reason: str) -> None:
        """Wait for a reason."""
        await operator.until(lambda: self.reason(operator) == reason)

    async def submitted(self, operator: Operator) -> str:
        """Wait until it is made; answers its id."""
        await operator.until(lambda: self.batch(operator).id)
        return self.batch(operator).id or ""

    async def all_submitted(self, operator: Operator) -> None:
        """Wait until all batches of the job are made, but for one that came to nothing."""

        def done() -> bool:
            status = operator.status()
            made = [batch for batch in status.batches if batch.id or batch.refusal]
            return len(made) == self.count or any(map(status.holds, OVER))

        await operator.until(done)

    async def ended(self, operator: Operator, *, seconds: float = 3600) -> BatchJobStatus:
        """Let all batches end, and the job with them; those that the test is not about have gone on undisturbed."""
        await self.all_submitted(operator)
        if seconds:
            self.kong.advance(seconds)
        status = await operator.until_ended()
        if not self.several:
            return status
        first, second, third = status.batches
        states = {item["id"]: item["object"]["status"] for item in self.kong.batches()}
        assert [states[str(batch.id)] for batch in (first, third)] == ["completed", "completed"]
        others = [call for call in self.kong.calls("batches.create") if not self._is_it(call["body"])]
        assert [call["answer_id"] for call in others if call["answer_id"]] == [first.id, third.id]
        succeeded = second.state is not None and second.state.reason == Reason.SUCCEEDED
        assert operator.reason() == (Reason.SUCCEEDED if succeeded else Reason.COMPLETED_WITH_FAILURES)
        key = operator.job()["spec"]["output"].get("secret", {}).get("key")
        stored = self.stored(operator.api, key=key) if key else self.whole()
        there = [name for name in stored if name in {*self.before, AFTER}]
        if operator.job()["spec"]["output"].get("order") == "Completion":
            there.sort(key=lambda name: self.whole().index(name))
        assert there == self.whole()
        return status
