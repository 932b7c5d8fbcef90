"""Calls about the job's own batch, whose answers are believed only when they are about it."""

from llmbatch.batch.edge.seen import Seen
from llmbatch.gateway.clients import Client
from llmbatch.provider.edge.outcome import Answered, Failure, NotFound, Refused, mixed_up, not_cancelled
from llmbatch.provider.pure import about
from llmbatch.provider.pure.wire import RemoteBatch


async def get_batch(seen: Seen, client: Client, batch_id: str) -> Answered[RemoteBatch] | Failure:
    """Look at a batch of the job."""
    return ours(seen, await client.gateway.get_batch(batch_id))


async def cancel_batch(seen: Seen, client: Client, batch_id: str) -> Answered[RemoteBatch] | Failure:
    """Ask for a batch of the job to be cancelled; answers what it is then, which may well be that it runs on.

    Who refuses may mean that it has ended, or that this batch can't be cancelled; who knows of nothing, that there is no such
    batch or no such call. A look tells.
    """
    answer = ours(seen, await client.gateway.cancel_batch(batch_id))
    if not isinstance(answer, NotFound) and not (isinstance(answer, Refused) and answer.status in (400, 409)):
        return answer
    looked = await get_batch(seen, client, batch_id)
    if isinstance(answer, NotFound) and isinstance(looked, Answered) and not looked.value.is_stopping:
        return not_cancelled(answer, batch_id)
    return looked


def ours(seen: Seen, answer: Answered[RemoteBatch] | Failure) -> Answered[RemoteBatch] | Failure:
    """Give an answer that was to be about the job's batch, if it is."""
    if not isinstance(answer, Answered):
        return answer
    told, observation = answer.value, seen.observation
    if about.is_anothers(told, observation.batch.input_file_id, observation.status_uid):
        return mixed_up(told.id)
    return answer
