"""Calls about the job's own batch, whose answers are believed only when they are about it."""

from llmbatch.batch.edge.seen import Seen
from llmbatch.gateway.clients import Client
from llmbatch.provider.edge.outcome import Answered, Failure, mixed_up
from llmbatch.provider.pure import about
from llmbatch.provider.pure.wire import RemoteBatch


async def get_batch(seen: Seen, client: Client, batch_id: str) -> Answered[RemoteBatch] | Failure:
    """Look at a batch of the job."""
    return ours(seen, await client.gateway.get_batch(batch_id))


async def cancel_batch(seen: Seen, client: Client, batch_id: str) -> Answered[RemoteBatch] | Failure:
    """Ask for a batch of the job to be cancelled; Refused with 409 when it has ended already."""
    return ours(seen, await client.gateway.cancel_batch(batch_id))


def ours(seen: Seen, answer: Answered[RemoteBatch] | Failure) -> Answered[RemoteBatch] | Failure:
    """Give an answer that was to be about the job's batch, if it is."""
    if not isinstance(answer, Answered):
        return answer
    told, observation = answer.value, seen.observation
    if about.is_anothers(told, observation.batch.input_file_id, observation.status_uid):
        return mixed_up(told.id)
    return answer
