"""Jobs from their creation to their end, by the operator's real parts over real wires."""

from llmbatch.api.reasons import Reason
from tests.controller.conftest import FIVE
from tests.emulator.client import Instance
from tests.support.apiserver import ApiServer
from tests.support.inprocess import Operator, apply_all


async def test_a_job_from_a_configmap_to_a_secret(operator: Operator, api: ApiServer, kong: Instance) -> None:
    apply_all(api, kong, FIVE)
    await operator.until(lambda: operator.status().summary.submission_time)
    kong.advance(3600)
    status = await operator.until_ended()
    assert operator.reason() == Reason.SUCCEEDED
    assert status.request_counts is not None
    assert (status.request_counts.total, status.request_counts.completed) == (5, 5)
    results = api.data("secrets", "results", "r.jsonl").splitlines()
    assert len(results) == 5
    assert all(file["deleted"] for file in kong.files()), "remote files are deleted once the results are stored"
