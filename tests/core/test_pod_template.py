"""A BatchJob's spec.transfer over the chart's defaults."""

from typing import Any

import pytest

from llmbatch.api.batchjob import BatchJobSpec
from llmbatch.api.transfer import DEFAULTS, Transfer
from llmbatch.settings import Settings
from llmbatch.transfer.pure import pod_template
from tests.support import build

Json = dict[str, Any]
CHART: Json = {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}}


@pytest.mark.parametrize(
    ("own", "limits", "requests"),
    [
        pytest.param({}, {"memory": "256Mi"}, {"cpu": "100m", "memory": "128Mi"}, id="nothing: the chart's"),
        pytest.param(
            {"limits": {"cpu": "1"}}, {"cpu": "1", "memory": "256Mi"}, {"cpu": "100m", "memory": "128Mi"},
            id="a cpu limit takes no memory limit away",
        ),
        pytest.param(
            {"requests": {"cpu": "50m"}}, {"memory": "256Mi"}, {"cpu": "50m", "memory": "128Mi"},
            id="a cpu request takes no memory request away",
        ),
        pytest.param(
            {"requests": {"memory": "1Gi"}}, {"memory": "1Gi"}, {"cpu": "100m", "memory": "1Gi"},
            id="a request above the chart's limit raises it",
        ),
        pytest.param(
            {"limits": {"memory": "64Mi"}}, {"memory": "64Mi"}, {"cpu": "100m", "memory": "64Mi"},
            id="a limit below the chart's request lowers it",
        ),
        pytest.param(
            {"limits": {"cpu": "50m"}}, {"cpu": "50m", "memory": "256Mi"}, {"cpu": "50m", "memory": "128Mi"},
            id="the same for cpu",
        ),
        pytest.param(
            {"limits": {"memory": 134217728}}, {"memory": 134217728}, {"cpu": "100m", "memory": "128Mi"},
            id="a number of bytes that is the same amount",
        ),
        pytest.param(
            {"limits": {"memory": "1Gi"}, "requests": {"memory": "2Gi"}}, {"memory": "1Gi"},
            {"cpu": "100m", "memory": "2Gi"}, id="a contradiction of the user's own is for the API server to refuse",
        ),
        pytest.param(
            {"limits": {"memory": "a lot"}}, {"memory": "a lot"}, {"cpu": "100m", "memory": "128Mi"},
            id="no quantity: the same",
        ),
        pytest.param(
            {"limits": {"ephemeral-storage": "1Gi"}}, {"memory": "256Mi", "ephemeral-storage": "1Gi"},
            {"cpu": "100m", "memory": "128Mi"}, id="another resource",
        ),
    ],
)  # fmt: skip
def test_resources_are_merged_by_name(own: Json, limits: Json, requests: Json) -> None:
    made = pod_template.resources(CHART, Transfer.parse({"resources": own}))
    told = {kind: {name: str(value) for name, value in found.items()} for kind, found in made.items()}
    assert told == {"limits": {name: str(value) for name, value in limits.items()}, "requests": requests}


@pytest.mark.parametrize(
    ("quantity", "expected"),
    [(1, 1.0), ("1", 1.0), ("100m", 0.1), ("1.5Gi", 1.5 * 2**30), ("1e3", 1000.0), ("12E", 12e18), ("2k", 2000.0)]
    + [(wrong, None) for wrong in ("", "x", "1 Gi", "1.2.3", "Mi", "1e9999")],
)  # fmt: skip
def test_amounts(quantity: object, expected: float | None) -> None:
    assert pod_template.amount(quantity) == (None if expected is None else pytest.approx(expected))


def test_maps_are_merged_by_key_lists_are_joined_and_the_rest_is_replaced() -> None:
    chart = Transfer.parse({
        "labels": {"a": "chart", "b": "chart"}, "annotations": {"a": "chart"}, "nodeSelector": {"pool": "batch"},
        "tolerations": [{"key": "one"}], "imagePullSecrets": [{"name": "one"}], "priorityClassName": "low",
        "serviceAccountName": "batch", "affinity": {"nodeAffinity": {"x": 1}},
    })  # fmt: skip
    own = Transfer.parse({
        "labels": {"b": "own"}, "nodeSelector": {"disk": "fast"}, "tolerations": [{"key": "two"}, {"key": "one"}],
        "imagePullSecrets": [{"name": "two"}], "priorityClassName": "high", "affinity": {"podAffinity": {"y": 2}},
    })  # fmt: skip
    both = pod_template.merged(chart, own)
    assert both.labels == {"a": "chart", "b": "own"}
    assert both.annotations == {"a": "chart"}
    assert both.node_selector == {"pool": "batch", "disk": "fast"}
    assert [item.key for item in both.tolerations] == ["one", "two"]
    assert [item.name for item in both.image_pull_secrets] == ["one", "two"]
    assert (both.priority_class_name, both.service_account_name, both.runtime_class_name) == ("high", "batch", None)
    assert pod_template.affinity_of(both) == {"podAffinity": {"y": 2}}
    assert pod_template.merged(chart, Transfer()).model_copy(update={"resources": chart.resources}) == chart.model_copy(
        update={"security_context": Transfer().security_context}
    )


@pytest.mark.parametrize(
    ("chart", "own", "expected"),
    [
        pytest.param(DEFAULTS, {}, {"runAsUser": 65532, "runAsGroup": 65532, "fsGroup": 65532}, id="the image's user"),
        pytest.param(
            DEFAULTS, {"runAsUser": 1000}, {"runAsUser": 1000, "runAsGroup": 65532, "fsGroup": 65532}, id="the job's"
        ),
        pytest.param(Transfer(), {}, {}, id="a chart that leaves it to the namespace"),
        pytest.param(Transfer(), {"fsGroup": 7}, {"fsGroup": 7}, id="the same, and a job that doesn't"),
        pytest.param(Transfer(), {"supplementalGroups": [7]}, {"supplementalGroups": [7]}, id="further groups"),
    ],
)
def test_user_and_groups(chart: Transfer, own: Json, expected: Json) -> None:
    spec = BatchJobSpec.parse({**build.spec_json(), "transfer": {"securityContext": own, "nodeSelector": None}})
    assert pod_template.security_context(chart, spec.transfer) == expected


@pytest.mark.parametrize("key", ["llmbatch.io/batchjob-uid", "llmbatch.io/template", "app.kubernetes.io/managed-by",
                                 "batch.kubernetes.io/controller-uid", "job-name", "controller-uid"])  # fmt: skip
def test_what_is_the_operators_or_kubernetes_own_can_not_be_set(key: str) -> None:
    assert pod_template.allowed({key: "x", "my-job-name": "y"}) == {"my-job-name": "y"}


def test_the_charts_values_are_read_with_what_is_empty_left_out() -> None:
    values = '{"priorityClassName": "", "labels": {}, "securityContext": {"runAsUser": null, "fsGroup": 7}, "tolerations": []}'
    defaults = Settings.from_environment({"LLMBATCH_TRANSFER_DEFAULTS": values}).transfer_defaults
    assert pod_template.security_context(defaults, Transfer()) == {"fsGroup": 7}
    assert defaults.priority_class_name is None
