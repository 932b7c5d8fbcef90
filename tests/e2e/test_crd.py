"""What the API server refuses by itself, in words that a user understands, and what `kubectl explain` teaches."""

import json
from typing import Any

import pytest

from tests.e2e import objects
from tests.e2e.conftest import Tenant
from tests.e2e.kube import KubectlError
from tests.support import kstatus

CONFIG_MAP, SECRET = objects.in_config_map("prompts"), objects.in_secret("out", "results")


FAIL = {"action": "Fail", "onStatusCodes": {"operator": "In", "values": [400]}}
RETRY = {**FAIL, "action": "Retry"}
BOTH = {**FAIL, "onErrorCodes": {"operator": "In", "values": ["content_filter"]}}


MANY = {"action": "Fail", "onErrorCodes": {"operator": "In", "values": [f"code_{number}" for number in range(65)]}}


def least(value: object) -> objects.Json:
    return {"successPolicy": {"minSucceeded": value}}


def policy(*rules: objects.Json, **further: object) -> objects.Json:
    return {"requestFailurePolicy": {"rules": list(rules)}, **further}


@pytest.mark.parametrize(
    ("source", "target", "spec", "told"),
    [
        pytest.param({}, SECRET, {}, "exactly one of configMap, secret, persistentVolumeClaim must be set", id="no input"),
        pytest.param(
            {**CONFIG_MAP, **objects.in_secret("other")}, SECRET, {},
            "exactly one of configMap, secret, persistentVolumeClaim must be set", id="two inputs",
        ),
        pytest.param(
            objects.in_volume("data", "../etc/passwd"), SECRET, {}, "path must be relative to the volume", id=".. in a path"
        ),
        pytest.param(objects.in_volume("data", "/abs"), SECRET, {}, "path must be relative to the volume", id="absolute path"),
        *(
            pytest.param(CONFIG_MAP, SECRET, least(value), "must be a number from 1, or a percentage from 1% to 100%", id=f"minSucceeded {value}")
            for value in (0, -1, "0%", "101%", "95", "95.5%", "-1%", "", "x%", "095%")
        ),
        pytest.param(CONFIG_MAP, SECRET, policy(RETRY), "set spec.backoffLimitPerRequest to 1 or more", id="Retry without retries"),
        pytest.param(CONFIG_MAP, SECRET, policy(RETRY, backoffLimitPerRequest=0), "set spec.backoffLimitPerRequest to 1 or more", id="Retry with no retries"),
        pytest.param(CONFIG_MAP, SECRET, policy(BOTH), "exactly one of onStatusCodes, onErrorCodes must be set", id="a rule on both"),
        pytest.param(CONFIG_MAP, SECRET, policy({"action": "Fail"}), "exactly one of onStatusCodes, onErrorCodes must be set", id="a rule on nothing"),
        pytest.param(CONFIG_MAP, SECRET, policy({**FAIL, "action": "Ignore"}), "supported values", id="an action nobody knows"),
        pytest.param(CONFIG_MAP, SECRET, policy(MANY), "must have at most 64 items", id="too many error codes"),
        pytest.param(CONFIG_MAP, SECRET, policy(), "should have at least 1 items", id="no rules"),
        pytest.param(CONFIG_MAP, SECRET, {"backoffLimitPerRequest": 6}, "less than or equal to 5", id="six retries"),
        pytest.param(CONFIG_MAP, SECRET, {"backoffLimitPerRequest": -1}, "greater than or equal to 0", id="fewer than no retries"),
        pytest.param(CONFIG_MAP, SECRET, {"completionWindow": "12h"}, 'supported values: "24h"', id="another window"),
        pytest.param(
            objects.in_volume("data", "a.jsonl"), objects.in_volume("data", "a.jsonl"), {},
            "must not be what spec.input names", id="output over the input",
        ),
        pytest.param(
            CONFIG_MAP, SECRET, {"metadata": {"llmbatch_uid": "x"}}, "do not start with llmbatch_", id="our metadata keys"
        ),
    ],
)  # fmt: skip
def test_a_job_that_makes_no_sense_is_refused(
    tenant: Tenant, source: objects.Json, target: objects.Json, spec: dict[str, Any], told: str
) -> None:
    with pytest.raises(KubectlError, match="invalid") as refused:
        tenant.kube.apply(objects.job("job", source, target, **spec))
    assert told in str(refused.value)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"gatewayRef": {"name": "another"}}, id="gatewayRef"),
        pytest.param({"endpoint": "/v1/responses"}, id="endpoint"),
        pytest.param({"input": {"configMap": {"name": "others"}}}, id="input"),
        pytest.param({"model": "another"}, id="model"),
        pytest.param({"backoffLimitPerRequest": 1}, id="backoffLimitPerRequest"),
        pytest.param({"successPolicy": {"minSucceeded": "95%"}}, id="successPolicy"),
        pytest.param({"requestFailurePolicy": {"rules": [FAIL]}}, id="requestFailurePolicy"),
    ],
)
def test_what_costs_money_cannot_be_changed(tenant: Tenant, change: objects.Json) -> None:
    tenant.kube.apply(objects.job("job", CONFIG_MAP, SECRET))
    with pytest.raises(KubectlError, match="immutable"):
        tenant.kube.patch("batchjob", "job", {"spec": change})


@pytest.mark.parametrize("url", ["ftp://kong", "https://user:password@kong", "https://kong?x=1"])
def test_a_gateway_url_with_credentials_or_query_is_refused(tenant: Tenant, url: str) -> None:
    with pytest.raises(KubectlError, match=r"spec\.url"):
        tenant.kube.apply(objects.gateway("other", url))


def test_explain_teaches_what_the_input_is(tenant: Tenant) -> None:
    told = tenant.kube.run("explain", "bj.spec.input")
    assert "JSONL" in told
    for field in ("configMap", "secret", "persistentVolumeClaim"):
        assert field in told
    assert "not set" not in tenant.kube.run("explain", "bj.spec", "--recursive")


def test_the_columns_show_phase_progress_counts_and_readiness(tenant: Tenant) -> None:
    tenant.kube.apply(
        objects.config_map("prompts", {"batch.jsonl": objects.requests("a", "b--status-400")}),
        objects.job("job", CONFIG_MAP, SECRET),
    )
    tenant.kube.wait_for("job", "Complete")
    head, row = tenant.kube.run("get", "bj", "-o", "wide").splitlines()
    assert head.split()[:7] == ["NAME", "PHASE", "PROGRESS", "COMPLETED", "FAILED", "READY", "AGE"]
    assert row.split()[:6] == ["job", "Complete", "100%", "1", "1", "True"]
    assert row.split()[7:9] == ["CompletedWithFailures", "kong"]


@pytest.mark.parametrize("kind", ["job", "gateway"])
def test_an_object_is_in_progress_from_its_first_moment_on(tenant: Tenant, kind: str) -> None:
    """The API server's answer to the create call: no operator can have written to it yet."""
    made = objects.job("fresh", CONFIG_MAP, SECRET) if kind == "job" else objects.gateway("fresh", "http://127.0.0.1:1")
    answer = json.loads(tenant.kube.run("create", "-f", "-", "-o", "json", stdin=json.dumps(made)))
    assert answer["status"] == {"observedGeneration": -1}
    assert kstatus.computed(answer) == "InProgress"
