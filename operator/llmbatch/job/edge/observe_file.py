"""The uploaded file's stage: whether the provider is done with the file, and whether there is a place for its batch."""

from dataclasses import dataclass

from llmbatch.batch.edge.polls import Polls
from llmbatch.batch.edge.seen import Seen
from llmbatch.batch.edge.tries import Tries
from llmbatch.batch.edge.uploads import Uploads
from llmbatch.batch.pure.observation import FileState
from llmbatch.gateway.clients import Client
from llmbatch.gateway.pace import Operation
from llmbatch.gateway.slots import Slots
from llmbatch.job.edge.admission import Admission
from llmbatch.provider.edge.outcome import Answered, NotFound
from llmbatch.provider.pure import words
from llmbatch.runtime.queue import Key
from llmbatch.transfers.destination import Destinations


@dataclass
class FileObserver:
    """Observes uploaded files."""

    polls: Polls
    slots: Slots
    tries: Tries
    uploads: Uploads
    admission: Admission
    destinations: Destinations

    def waits(self, seen: Seen, client: Client) -> bool:
        """Tell whether the order of a batch may take its time, in which a file that is stored nowhere could be lost."""
        done = self.uploads.was_processed(seen.observation.memory, seen.observation.batch.input_file_id)
        # Who stands in line for tokens is known by what is stored.
        return not done or client.spec.limits.requests_per_minute > 0 or self.admission.quota.limits(client.key)

    async def observe(self, seen: Seen, gateway: Key) -> Seen:
        """Look at the uploaded file of a job that has no batch yet, and at the place for its results."""
        seen = await self._before_the_order(await self._file(seen, gateway))
        found = seen.observation
        if found.trouble is not None or found.file_state is not FileState.USABLE or not found.slot_free:
            self.admission.stays(seen)
        return seen

    async def _file(self, seen: Seen, gateway: Key) -> Seen:
        client, file_id = seen.client, seen.observation.batch.input_file_id
        if client is None or file_id is None:
            return seen
        held = client.pace.held(Operation.CREATE, seen.observation.now)
        if held is None and (before := self.tries.create_held(seen)) is not None:
            held = None if self.admission.may_try(seen, before, gateway) else before
        if held is not None:
            return seen.troubled(held)
        wait = self.polls.due_in(seen.observation.memory)
        if wait > 0:
            return seen.found(file_state=FileState.PENDING, poll_in=wait)
        if (queued := self.admission.behind(seen, gateway)) is not None:
            return seen.found(file_state=FileState.USABLE, queued=queued)
        if not self.slots.has_place(seen.key, gateway):
            # Waiting costs nothing: the file is looked at when it is the job's turn.
            return seen.found(file_state=FileState.USABLE, slot_free=False)
        if self.uploads.is_processed(seen.observation.memory, file_id):
            return seen.found(file_state=FileState.USABLE, slot_free=self.slots.claim(seen.key, gateway))
        answer = await client.gateway.get_file(file_id)
        state, details = FileState.USABLE, ""
        if isinstance(answer, Answered):
            details = f"its status is {words.code_of(answer.value.status)}"
            if answer.value.status_details:
                details = f"{details}; {words.told(None, answer.value.status_details)}"
            if answer.value.status in ("pending", "running"):
                wait = self.polls.polled(seen.observation.memory, client.spec.poll_interval_seconds)
                state = FileState.PENDING
            elif answer.value.status in ("error", "deleted"):
                state = FileState.FAILED
        elif not isinstance(answer, NotFound):
            return seen.troubled(await self.polls.problem(client, answer))
        # Some servers know nothing of a file's metadata; a batch made of it shows whether it is there.
        slot = state is not FileState.USABLE or self.slots.claim(seen.key, gateway)
        return seen.found(file_state=state, file_details=details, poll_in=wait, slot_free=slot)

    async def _before_the_order(self, seen: Seen) -> Seen:
        """Look at the place for the results once more when the batch is about to be ordered."""
        found = seen.observation
        if found.file_state is not FileState.USABLE:
            # That takes its time: what was seen of the place is not of just now any more.
            self.destinations.forget(seen.owner.uid)
        elif (found.trouble is None and found.slot_free) and (
            problem := await self.destinations.problem_of_late(seen)
        ) is not None:
            self.slots.release(seen.key)
            return seen.troubled(problem)
        return seen
