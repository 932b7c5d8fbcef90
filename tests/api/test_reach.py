"""No field of a BatchJob reaches out of its namespace, its volume, or what its BatchGateway allows."""

import re
from typing import Any

import pytest

from llmbatch.api import crd
from tests.api.test_crds import fields, root

FIELDS = dict(fields(root(crd.batchjob())["properties"]["spec"], "spec"))
GATEWAY_FIELDS = dict(fields(root(crd.batchgateway())["properties"]["spec"], "spec"))
ELSEWHERE = re.compile(
    r"namespace|image|hostpath|host|serviceaccount|privileged|capabilit|command|args|volumes?|mounts?|env|url|headers?|"
    r"proxy|annotations|labels|runtimeclass|priorityclass|initcontainers|sidecars|procmount|selinux|sysctls",
    re.IGNORECASE,
)

OF_THE_POD = {"spec.transfer.labels", "spec.transfer.annotations"}
"""Of the Job and its pod, in the job's own namespace; ours can't be changed by them."""


def last(path: str) -> str:
    return path.removesuffix("[]").rpartition(".")[2]


@pytest.mark.parametrize("path", FIELDS)
def test_no_field_of_a_job_names_a_place_beyond_its_own(path: str) -> None:
    assert path.removesuffix("[]") in OF_THE_POD or not ELSEWHERE.fullmatch(last(path))


def test_no_reference_takes_a_namespace() -> None:
    assert [path for path in (*FIELDS, *GATEWAY_FIELDS) if last(path).lower().endswith("namespace")] == []


# The key of a taint is compared, not asked for.
@pytest.mark.parametrize(
    "path",
    [path for path in FIELDS if last(path) in {"name", "claimName", "key"} and not path.startswith("spec.transfer")],
)
@pytest.mark.parametrize("hostile", ["../x", "a/b", "a?b", "a#b", "a%2fb", "a\nb", "a b", "", "ä"])
def test_names_and_keys_are_parts_of_a_path_and_no_more(path: str, hostile: str) -> None:
    schema: dict[str, Any] = FIELDS[path]
    refused = len(hostile) < schema["minLength"] or re.search(schema["pattern"], hostile) is None
    assert refused


@pytest.mark.parametrize("member", ["runAsUser", "runAsGroup", "fsGroup", "supplementalGroups[]"])
def test_no_transfer_runs_as_root(member: str) -> None:
    assert FIELDS[f"spec.transfer.securityContext.{member}"]["minimum"] == 1


def test_a_transfers_pod_has_no_other_knobs_than_these() -> None:
    """A new one has to be thought about, and added here."""
    direct = {path.split(".")[2] for path in FIELDS if path.startswith("spec.transfer.")}
    where_and_how = {"affinity", "priorityClassName", "runtimeClassName", "serviceAccountName", "imagePullSecrets"}
    known = {"resources", "nodeSelector", "tolerations", "securityContext", "labels", "annotations"} | where_and_how
    assert direct == known | {item for item in direct if item.endswith("[]")}
    within = {last(path) for path in FIELDS if path.startswith("spec.transfer.securityContext.")}
    assert within == {"runAsUser", "runAsGroup", "fsGroup", "supplementalGroups"}
