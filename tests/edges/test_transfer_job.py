"""The Kubernetes Job of a transfer: restricted, without a token, and the same for the same plan."""

import json
from typing import Any

import pytest

from llmbatch.api.batchgateway import BatchGatewaySpec
from llmbatch.api.transfer import Transfer
from llmbatch.settings import Settings
from llmbatch.transfer.pure.connections import pod_connection
from llmbatch.transfer.pure.manifest import manifest
from llmbatch.transfer.pure.mounts import INPUT_ROOT, OUTPUT_ROOT
from llmbatch.transfer.pure.naming import Owner
from llmbatch.transfer.pure.plan import PLAN_VARIABLE, CollectPlan, DiscardPlan, UploadPlan
from tests.support import build

Json = dict[str, Any]
OWNER = Owner("team-a", "job", build.UID)
DATA = {"persistentVolumeClaim": {"claimName": "data", "path": "in.jsonl"}}
OUT = {"persistentVolumeClaim": {"claimName": "out", "path": "out.jsonl"}}
SAME = {"persistentVolumeClaim": {"claimName": "data", "path": "out.jsonl"}}
KEY = {"name": "apikey", "valueFrom": {"secretKeyRef": {"name": "consumer", "key": "k"}}}


def made(plan: UploadPlan | CollectPlan, gateway: Json | None = None, **spec: Any) -> Json:
    job = build.spec(**{"input": DATA, "output": OUT, **spec})
    connection = BatchGatewaySpec.parse({"url": "https://kong.example.com", **(gateway or {})})
    return manifest(OWNER, job, connection, plan, Settings(image="i:1", image_pull_secrets=("pull",)))


def pod(job: Json) -> Json:
    found: Json = job["spec"]["template"]["spec"]
    return found


def claims(job: Json) -> dict[str, tuple[str, bool]]:
    """Give where each claim is mounted, and whether it can be written."""
    spec = pod(job)
    by_name = {item["name"]: item.get("persistentVolumeClaim", {}).get("claimName") for item in spec["volumes"]}
    return {
        mount["mountPath"]: (by_name[mount["name"]], not mount.get("readOnly"))
        for mount in spec["containers"][0]["volumeMounts"]
        if by_name[mount["name"]]
    }


UPLOAD = build.upload_plan(root=INPUT_ROOT, path="in.jsonl")
COLLECT = build.collect_plan(input_root=INPUT_ROOT, input_path="in.jsonl")


@pytest.mark.parametrize(
    ("job", "expected"),
    [
        pytest.param(made(UPLOAD), {INPUT_ROOT: ("data", False)}, id="an upload reads its input, and no more"),
        pytest.param(
            made(COLLECT),
            {INPUT_ROOT: ("data", False), OUTPUT_ROOT: ("out", True)},
            id="a collection writes its output",
        ),
        pytest.param(
            made(COLLECT, output=SAME), {INPUT_ROOT: ("data", False), OUTPUT_ROOT: ("data", True)}, id="one claim twice"
        ),
        pytest.param(made(build.collect_plan()), {OUTPUT_ROOT: ("out", True)}, id="an input that isn't needed"),
    ],
)
def test_volumes(job: Json, expected: dict[str, tuple[str, bool]]) -> None:
    assert claims(job) == expected


def test_one_claim_is_one_volume() -> None:
    volumes = [item["name"] for item in pod(made(COLLECT, output=SAME))["volumes"]]
    assert len(volumes) == len(set(volumes)) == 2


def test_the_pod_keeps_to_the_restricted_standard() -> None:
    spec = pod(made(UPLOAD))
    assert spec["automountServiceAccountToken"] is False
    assert spec["restartPolicy"] == "Never"
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    container = spec["containers"][0]["securityContext"]
    assert container["allowPrivilegeEscalation"] is False
    assert container["capabilities"] == {"drop": ["ALL"]}
    assert container["readOnlyRootFilesystem"] is True


def test_the_user_may_choose_who_it_runs_as_and_where_but_not_root() -> None:
    transfer = {
        "securityContext": {"runAsUser": 1000, "fsGroup": 2000},
        "nodeSelector": {"disk": "fast"},
        "tolerations": [{"key": "gpu", "operator": "Exists"}],
        "resources": {"limits": {"memory": "1Gi"}},
    }
    spec = pod(made(UPLOAD, transfer=transfer))
    assert (spec["securityContext"]["runAsUser"], spec["securityContext"]["fsGroup"]) == (1000, 2000)
    assert (spec["nodeSelector"], spec["tolerations"]) == ({"disk": "fast"}, [{"key": "gpu", "operator": "Exists"}])
    assert spec["containers"][0]["resources"]["limits"] == {"memory": "1Gi"}
    assert "requests" in spec["containers"][0]["resources"], "what the user leaves out is the operator's"
    assert spec["imagePullSecrets"] == [{"name": "pull"}]


WHERE = {
    "labels": {"kueue.x-k8s.io/queue-name": "batch", "llmbatch.io/batchjob-uid": "another", "job-name": "another"},
    "annotations": {"sidecar.istio.io/inject": "false", "llmbatch.io/template": "another"},
    "priorityClassName": "low",
    "serviceAccountName": "batch",
    "runtimeClassName": "gvisor",
    "imagePullSecrets": [{"name": "mine"}, {"name": "pull"}],
    "affinity": {"podAntiAffinity": {"preferred": [{"labelSelector": {}, "namespaces": []}]}},
}


def test_labels_annotations_and_where_to_run_reach_job_and_pod_but_not_in_place_of_ours() -> None:
    job = made(UPLOAD, transfer=WHERE)
    template = job["spec"]["template"]
    for metadata in (job["metadata"], template["metadata"]):
        assert metadata["labels"] == {
            "app.kubernetes.io/managed-by": "llmbatch",
            "llmbatch.io/batchjob-uid": build.UID,
            "kueue.x-k8s.io/queue-name": "batch",
        }
        assert metadata["annotations"]["sidecar.istio.io/inject"] == "false"
    assert job["metadata"]["annotations"]["llmbatch.io/template"] != "another"
    spec = pod(job)
    assert (spec["priorityClassName"], spec["serviceAccountName"], spec["runtimeClassName"]) == (
        "low",
        "batch",
        "gvisor",
    )
    assert spec["imagePullSecrets"] == [{"name": "pull"}, {"name": "mine"}]
    assert spec["affinity"] == WHERE["affinity"], "an empty selector selects everything, none selects nothing"
    assert spec["automountServiceAccountToken"] is False


def test_what_nobody_asks_for_is_not_in_the_pod() -> None:
    left_out = {
        "affinity",
        "priorityClassName",
        "serviceAccountName",
        "runtimeClassName",
        "nodeSelector",
        "tolerations",
    }
    assert not left_out & set(pod(made(UPLOAD)))


def test_without_a_group_of_its_own_the_pod_may_still_read_its_certificates() -> None:
    tls = {"clientCertificate": {"secretName": "mtls"}, "caBundle": {"secretKeyRef": {"name": "ca", "key": "c"}}}
    gateway = BatchGatewaySpec.parse({"url": "https://k", "tls": tls})
    for settings, mode in ((Settings(), 0o440), (Settings(transfer_defaults=Transfer()), 0o444)):
        spec = pod(manifest(OWNER, build.spec(input=DATA, output=OUT), gateway, UPLOAD, settings))
        assert {item["secret"]["defaultMode"] for item in spec["volumes"] if "secret" in item} == {mode}
        assert spec["securityContext"]["runAsNonRoot"] is True
    assert not {"runAsUser", "runAsGroup", "fsGroup"} & set(spec["securityContext"])


def test_a_credential_is_a_reference_and_never_a_value() -> None:
    job = made(UPLOAD, {"headers": [{"name": "x", "value": "y"}, KEY], "query": [KEY]})
    env = {item["name"]: item for item in pod(job)["containers"][0]["env"]}
    reference = {"secretKeyRef": {"name": "consumer", "key": "k"}}
    assert env["LLMBATCH_HEADER_1"]["valueFrom"] == env["LLMBATCH_QUERY_0"]["valueFrom"] == reference
    assert "LLMBATCH_HEADER_0" not in env
    settings = pod_connection(BatchGatewaySpec.parse({"url": "https://k", "headers": [KEY]})).headers
    assert [(item.value, item.variable) for item in settings] == [(None, "LLMBATCH_HEADER_0")]


def test_certificates_are_files_of_the_pod() -> None:
    tls = {"caBundle": {"configMapKeyRef": {"name": "ca", "key": "c"}}, "clientCertificate": {"secretName": "mtls"}}
    job = made(UPLOAD, {"tls": tls})
    volumes = {item["name"]: item for item in pod(job)["volumes"]}
    assert volumes["ca"]["configMap"] == {"name": "ca", "items": [{"key": "c", "path": "ca.crt"}]}
    assert volumes["client"]["secret"]["secretName"] == "mtls"
    connection = pod_connection(BatchGatewaySpec.parse({"url": "https://k", "tls": tls}))
    assert (connection.ca_file, connection.key_file) == ("/etc/llmbatch/ca/ca.crt", "/etc/llmbatch/client/tls.key")


def test_the_job_belongs_to_the_batchjob_and_carries_the_plan() -> None:
    job = made(UPLOAD)
    (reference,) = job["metadata"]["ownerReferences"]
    assert (reference["kind"], reference["uid"], reference["controller"]) == ("BatchJob", build.UID, True)
    assert job["spec"]["backoffLimit"] == 0
    env = {item["name"]: item.get("value") for item in pod(job)["containers"][0]["env"]}
    assert UploadPlan.parse(json.loads(str(env[PLAN_VARIABLE]))) == UPLOAD
    assert made(UPLOAD) == job, "the same plan is the same Job"


def test_a_job_tells_by_a_digest_what_it_was_made_from() -> None:
    def digest(job: Json) -> str:
        return str(job["metadata"]["annotations"]["llmbatch.io/template"])

    looking = UPLOAD.model_copy(update={"look": True})
    assert digest(made(UPLOAD)) == digest(made(looking)), "a look at what an earlier try may have sent changes nothing"
    others = [
        made(UPLOAD, transfer={"nodeSelector": {"disk": "fast"}}),
        made(UPLOAD, {"headers": [KEY]}),
        made(build.upload_plan(root=INPUT_ROOT, path="in.jsonl", connection=build.connection(connect_seconds=7))),
    ]
    assert len({digest(job) for job in (made(UPLOAD), *others)}) == 4


DISCARD = DiscardPlan(root=OUTPUT_ROOT, path="out.jsonl", bytes=1, sha256="ab")


def discards(**policy: Any) -> Json:
    job = build.spec(input=DATA, output=OUT, deletionPolicy={"output": "Delete", **policy})
    return manifest(OWNER, job, None, DISCARD, Settings(image="i:1", cleanup_timeout_seconds=120))


def test_the_job_that_deletes_results_needs_neither_input_nor_gateway() -> None:
    job = discards()
    assert claims(job) == {OUTPUT_ROOT: ("out", True)}
    assert [item["name"] for item in pod(job)["containers"][0]["env"]] == [PLAN_VARIABLE]
    assert pod(job)["containers"][0]["args"] == ["discard"]


def test_the_job_that_deletes_results_is_not_collected_before_its_batchjob_and_ends_with_its_time() -> None:
    job = discards()
    assert "ownerReferences" not in job["metadata"]
    assert job["metadata"]["labels"]["llmbatch.io/batchjob-uid"] == build.UID
    assert job["spec"]["activeDeadlineSeconds"] == 120
    assert discards(cleanupTimeoutSeconds=7)["spec"]["activeDeadlineSeconds"] == 7
