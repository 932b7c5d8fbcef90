"""Questions to the list of a gateway: each is answered by a reading that began after it came up."""

from llmbatch.api.batchjob_status import BatchJobStatus
from llmbatch.batch.directory.readings import Readings
from llmbatch.batch.edge.listing import Looks
from llmbatch.batch.edge.seen import Seen
from llmbatch.batch.pure import facts
from llmbatch.provider.edge.client import Gateway
from llmbatch.runtime.queue import Key
from llmbatch.transfer.pure.naming import Owner
from tests.controller.test_rounds import lists_slowly
from tests.emulator.client import Instance
from tests.support import build
from tests.support.apiserver import ApiServer
from tests.support.inprocess import NAMESPACE, Operator


async def test_a_question_about_another_call_is_another_question(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    client = await lists_slowly(operator, api, kong)
    readings = Readings(Gateway.list_batches)
    looks = Looks(readings, {})
    await (await readings.wait(client)).page(None)
    assert looks.due_in(owes(1), client) > 0
    # Somebody else's reading begins; then the first call is given up, and the answer to the second one is lost.
    await (await readings.wait(client)).page(None)
    assert looks.due_in(owes(2), client) > 0, "that reading may have begun before the second call"


def owes(attempt: int) -> Seen:
    """A job that owes the answer to a call."""
    status = facts.with_intent(BatchJobStatus(), attempt, build.NOW)
    owner = Owner(NAMESPACE, "job", build.UID)
    return Seen(Key("BatchJob", NAMESPACE, "job"), owner, {}, status, build.observation(status))
