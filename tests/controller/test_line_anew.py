"""A job that is made anew under its name has nothing of what the one before it had of a quota."""

from llmbatch.batch.pure import remote_state
from llmbatch.runtime.cache import BATCHJOB, uid_of
from llmbatch.runtime.queue import Key
from tests.controller.conftest import FIVE
from tests.controller.test_line_for_tokens import ALL, in_line, job, jobs, running, settled
from tests.emulator.client import Instance
from tests.support.apiserver import ApiServer
from tests.support.inprocess import NAMESPACE, Json, Operator, apply_all, remove_by_force

NOT_THERE: Json = {"configMap": {"name": "none", "key": "batch.jsonl"}}


async def test_a_pass_over_the_one_before_it_reserves_no_tokens_for_it(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    apply_all(api, kong, FIVE, *jobs("a", "b", "c"), limits={"maxEnqueuedTokens": ALL})
    await settled(operator, 1, "a", "b", "c")
    # Whose input was looked at first has the first turn.
    (first,) = running(operator, "a", "b", "c")
    second, third = in_line(operator, "a", "b", "c")
    late = api.fault("late", "get", "configmaps", times=2)
    remove_by_force(api, first)
    await operator.until(lambda: late.times == 1, None)
    remove_by_force(api, second)
    anew = api.put("batchjobs", job(second, 1, input=NOT_THERE))
    key = Key(BATCHJOB, NAMESPACE, second)
    await operator.until(lambda: uid_of(operator.runtime.cache.get(key)) == anew["metadata"]["uid"], None)
    # It is the turn of the last one, which reads its input too.
    await operator.until(lambda: late.times == 0, None)
    late.released.set()
    await operator.until(lambda: operator.batch(third).id, None)
    assert not remote_state.has_parts(operator.job(second))
