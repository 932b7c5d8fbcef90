"""What Prometheus is told of transfers that fail, in pods and in the operator itself."""

from typing import Any

from llmbatch.api.reasons import Reason
from llmbatch.kube.permissions import SECRETS
from tests.controller.conftest import FIVE
from tests.controller.test_transfer_pods import IN, claim, collecting, done, only_job, put_pod, uids
from tests.edges.test_transfer_failures import FULL, counted
from tests.emulator.client import Instance
from tests.support import build
from tests.support.apiserver import ApiServer
from tests.support.inprocess import Operator, apply_all, secret

OUT_OF_MEMORY = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}


def failures(operator: Operator) -> dict[tuple[str, str], float]:
    return counted(operator.runtime.metrics)


async def made_anew(operator: Operator, *known: str) -> Any:
    """Wait for the next transfer Job; answers it."""
    await operator.until(lambda: set(uids(operator.api)) - set(known))
    (found,) = (job for job in operator.api.objects("jobs") if job["metadata"]["uid"] not in known)
    return found


async def test_a_pod_that_ended_without_a_report_counts_once_though_its_job_is_looked_at_again(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    claim(api)
    api.fault("status", "delete", "jobs", status=503, times=4)
    apply_all(api, kong, FIVE, build.batchjob(input=IN))
    first = await only_job(operator, "upload")
    put_pod(api, first, OUT_OF_MEMORY, "Failed")
    second = await made_anew(operator, first["metadata"]["uid"])
    tries = [call for call in api.calls if (call.verb, call.plural) == ("delete", "jobs")]
    assert len(tries) >= 5, "it was looked at anew each time that it could not be removed"
    assert failures(operator) == {("upload", Reason.TRANSFER_FAILED): 1}
    put_pod(api, second, OUT_OF_MEMORY, "Failed")
    await made_anew(operator, first["metadata"]["uid"], second["metadata"]["uid"])
    assert failures(operator) == {("upload", Reason.TRANSFER_FAILED): 2}


async def test_a_pods_own_report_counts_by_its_reason(operator: Operator, api: ApiServer, kong: Instance) -> None:
    job = await collecting(operator, kong)
    put_pod(api, job, done(build.collect_report().model_copy(update={"problem": FULL}).dump()))
    second = await made_anew(operator, job["metadata"]["uid"])
    assert failures(operator) == {("collect", Reason.VOLUME_FULL): 1}
    put_pod(api, second, done(build.collect_report().dump()))
    await operator.until_ended()
    assert failures(operator) == {("collect", Reason.VOLUME_FULL): 1}


async def test_an_upload_in_the_operator_counts_once_by_its_reason(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    apply_all(api, kong, b"no JSON\n")
    await operator.until_ended()
    await operator.quiet()
    assert failures(operator) == {("upload", Reason.INVALID_INPUT): 1}


async def test_a_collection_in_the_operator_counts_each_time_that_it_was_made_and_not_when_it_was_held_back(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    apply_all(api, kong, FIVE)
    await operator.until(lambda: operator.status().summary.submission_time)
    api.put(SECRETS.plural, secret("results", mine="x"))
    kong.advance(3600)
    await operator.until_reason(Reason.OUTPUT_EXISTS)
    fetched = len(kong.calls("files.content"))
    for _ in range(3):
        await operator.look()
        await operator.quiet()
    assert len(kong.calls("files.content")) == fetched, "nothing is downloaded again for nothing"
    assert failures(operator) == {("collect", Reason.OUTPUT_EXISTS): 1}
    api.remove(SECRETS.plural, "results")
    await operator.until_ended()
    assert failures(operator) == {("collect", Reason.OUTPUT_EXISTS): 1}


async def test_a_job_that_a_policy_refuses_with_a_status_of_its_own_is_told_of_and_goes_on_when_it_lets_it(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    claim(api)
    refusal = api.fault("status", "create", "jobs", status=405, times=-1)
    apply_all(api, kong, FIVE, build.batchjob(input=IN))
    await operator.until_reason(Reason.TRANSFER_REFUSED)
    api.faults.remove(refusal)
    job = await only_job(operator, "upload")
    put_pod(api, job, done(build.upload_report().dump()))
    await operator.until(lambda: operator.batch().input_file_id)


async def test_a_job_of_its_name_that_is_not_the_operators_is_told_of_and_not_waited_for(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    claim(api)
    apply_all(api, kong, FIVE, build.batchjob(input=IN))
    first = await only_job(operator, "upload")
    api.edit("jobs", first["metadata"]["name"], {"metadata": {"labels": {"llmbatch.io/batchjob-uid": None}}})
    await operator.until_reason(Reason.TRANSFER_REFUSED)
    ready = operator.status().condition("Ready")
    assert ready is not None
    assert f"Job team-a/{first['metadata']['name']} exists without the labels" in ready.message
    api.remove("jobs", first["metadata"]["name"])
    second = await made_anew(operator, first["metadata"]["uid"])
    put_pod(api, second, done(build.upload_report().dump()))
    await operator.until(lambda: operator.batch().input_file_id)


async def test_a_job_with_the_operators_labels_and_a_name_that_is_none_of_its_own_is_left_alone(
    operator: Operator, api: ApiServer, kong: Instance
) -> None:
    claim(api)
    apply_all(api, kong, FIVE, build.batchjob(input=IN))
    first = await only_job(operator, "upload")
    for name in ("report", "nightly-report", "a-report-1"):
        metadata = {"name": name, "namespace": "team-a", "labels": first["metadata"]["labels"]}
        api.put("jobs", {"metadata": metadata, "spec": first["spec"]})
    put_pod(api, first, done(build.upload_report().dump()))
    await operator.until(lambda: operator.batch().input_file_id)
    assert {"report", "nightly-report", "a-report-1"} <= {job["metadata"]["name"] for job in api.objects("jobs")}
