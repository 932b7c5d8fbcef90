"""The chart's alerts, by Prometheus' own tool: each fires when it should, and is silent when all is well."""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from llmbatch.api.reasons import Reason
from llmbatch.runtime.metrics import Metrics
from tests.chart.helm import NAMESPACE, Chart, Manifest, Values, of_kind
from tests.chart.metrics_table import PAGE, registry
from tests.cluster.paths import REPOSITORY
from tests.support.reasons_table import declared

ON: Values = {"metrics": {"prometheusRule": {"enabled": True}}}
WELL = {
    'llmbatch_leader{instance="a"}': "1x1000",
    'llmbatch_leader{instance="b"}': "0x1000",
    "llmbatch_duplicate_batches_total": "0x1000",
    "llmbatch_left_behind_total": "3x1000",
    'llmbatch_oldest_unfinished_job_seconds{phase="Uploading"}': "900000x1000",
    'llmbatch_oldest_unfinished_batch_seconds{phase="InProgress"}': "80000x1000",
    'llmbatch_gateway_ready{namespace="team-a",gateway="kong"}': "1x1000",
    'llmbatch_gateway_request_duration_seconds_count{operation="get batch",code="2xx"}': "0+100x1000",
    'llmbatch_gateway_request_duration_seconds_count{operation="get batch",code="429"}': "0+5x1000",
    'llmbatch_gateway_request_duration_seconds_count{operation="get batch",code="5xx"}': "0+5x1000",
    'llmbatch_jobs_finished_total{result="complete",reason="Succeeded"}': "0+1x1000",
    'llmbatch_jobs_finished_total{result="failed",reason="InvalidInput"}': "0+0.1x1000",
    'llmbatch_transfer_failures_total{transfer="upload",reason="InvalidInput"}': "0+1x1000",
    'llmbatch_transfer_failures_total{transfer="upload",reason="GatewayUnreachable"}': "0x905 0+1x10 10x100",
    'llmbatch_transfer_failures_total{transfer="collect",reason="TransferFailed"}': "0+1x10 10x1000",
    'workqueue_depth{name="batchjob",instance="a",job="m"}': "300x1000",
    'workqueue_depth{name="batchgateway",instance="a",job="m"}': "3x1000",
    'workqueue_depth{name="endpoint",instance="other",job="m"}': "9000x1000",
    "llmbatch_failed_uploads_in_a_row": "0x890 1 2 3 4 5 6 0x100",
    "llmbatch_status_refusals_total": "0x1000",
    "llmbatch_event_loop_lag_seconds": "0.01x1000",
    'process_resident_memory_bytes{instance="a",job="m"}': "90000000x1000",
    'process_resident_memory_bytes{instance="other",job="m"}': "9000000000x1000",
    'llmbatch_build_info{instance="a",job="m",version="1"}': "1x1000",
    'process_start_time_seconds{instance="a",job="m"}': "60x300 18000x700",
    'process_start_time_seconds{instance="other",job="m"}': "0+30x1000",
}
"""A day on which nothing is the matter, a sample a minute."""


@dataclass(frozen=True)
class Trouble:
    """What is the matter, and which labels the alert then has."""

    series: dict[str, str]
    labels: dict[str, str]


CALLS = 'llmbatch_gateway_request_duration_seconds_count{operation="get batch",code="%s"}'
TROUBLES = {
    "LlmbatchNobodyWorks": Trouble({'llmbatch_leader{instance="a"}': "0x1000"}, {}),
    "LlmbatchTwoLeaders": Trouble({'llmbatch_leader{instance="b"}': "1x1000"}, {}),
    "LlmbatchDuplicateBatch": Trouble({"llmbatch_duplicate_batches_total": "0x880 1x120"}, {}),
    "LlmbatchLeftBehind": Trouble({"llmbatch_left_behind_total": "3x880 4x120"}, {}),
    "LlmbatchJobsStalled": Trouble(
        {'llmbatch_jobs_stalled{reason="OutputExists"}': "2x1000"}, {"reason": "OutputExists"}
    ),
    "LlmbatchJobOverdue": Trouble(
        {'llmbatch_oldest_unfinished_batch_seconds{phase="InProgress"}': "100000x1000"}, {"phase": "InProgress"}
    ),
    "LlmbatchGatewayNotReady": Trouble(
        {'llmbatch_gateway_ready{namespace="team-a",gateway="kong"}': "0x1000"},
        {"namespace": "team-a", "gateway": "kong"},
    ),
    "LlmbatchThrottled": Trouble({CALLS % "429": "0+50x1000"}, {}),
    "LlmbatchGatewayErrors": Trouble({CALLS % "none": "0+50x1000"}, {}),
    "LlmbatchTransfersFail": Trouble(
        {'llmbatch_transfer_failures_total{transfer="upload",reason="TransferFailed"}': "0x880 1x9 2x9 3x9 4x9 5x100"},
        {"transfer": "upload", "reason": "TransferFailed"},
    ),
    "LlmbatchJobsFail": Trouble(
        {'llmbatch_jobs_finished_total{result="failed",reason="InvalidInput"}': "0+1x1000"}, {}
    ),
    "LlmbatchBacklog": Trouble({'workqueue_depth{name="batchgateway",instance="a",job="m"}': "250x1000"}, {}),
    "LlmbatchStatusRefused": Trouble({"llmbatch_status_refusals_total": "0+1x1000"}, {}),
    "LlmbatchLoopLag": Trouble({"llmbatch_event_loop_lag_seconds": "3x1000"}, {}),
    "LlmbatchMemory": Trouble({'process_resident_memory_bytes{instance="a",job="m"}': "500000000x1000"}, {}),
    "LlmbatchRestarts": Trouble(
        {'process_start_time_seconds{instance="a",job="m"}': "60x880 52810x9 53410x9 54010x9 54610x9 55210x100"}, {}
    ),
}
AT = 930
"""Minutes after which it is looked: well after the longest `for`, and within an hour of what happens once."""


def rendered(chart: Chart, values: Values = ON) -> Manifest:
    """Give the rules as Prometheus reads them."""
    (made,) = of_kind(chart.render(values), "PrometheusRule")
    spec: Manifest = made["spec"]
    return spec


@pytest.fixture(scope="module")
def spec(chart: Chart) -> Manifest:
    """The chart's rules with its own thresholds, rendered once for all tests."""
    return rendered(chart)


def rules(spec: Manifest) -> list[Manifest]:
    (group,) = spec["groups"]
    found: list[Manifest] = group["rules"]
    return found


def promtool(chart: Chart, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(chart.tools.promtool), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def firing(chart: Chart, spec: Manifest, folder: Path, series: dict[str, str]) -> list[dict[str, Any]]:
    """Ask promtool which alerts fire: it complains of every one that is not expected, and names it."""
    (folder / "rules.yaml").write_text(yaml.safe_dump(spec))
    given = [{"series": name, "values": values} for name, values in series.items()]
    asked = [{"eval_time": f"{AT}m", "alertname": name, "exp_alerts": []} for name in TROUBLES]
    test = {
        "rule_files": ["rules.yaml"],
        "evaluation_interval": "1m",
        "tests": [{"interval": "1m", "input_series": given, "alert_rule_test": asked}],
    }
    (folder / "tests.yaml").write_text(yaml.safe_dump(test))
    done = promtool(chart, folder, "test", "rules", "tests.yaml")
    told = done.stdout + done.stderr
    names = re.findall(r"alertname: (\w+)", told)
    assert (done.returncode == 0) == (names == []), told
    labels = re.findall(r"Labels:\{(alertname=[^}]*)\}", told)
    return [dict(re.findall(r'(\w+)="([^"]*)"', found)) for found in labels]


def test_every_alert_has_a_test_and_a_section_that_tells_what_to_do(spec: Manifest) -> None:
    found = rules(spec)
    assert {rule["alert"] for rule in found} == set(TROUBLES)
    sections = re.findall(r"^### (\w+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert sections == [rule["alert"] for rule in found]
    anchors = [rule["annotations"]["runbook_url"] for rule in found]
    assert anchors == [f"docs/observability.md#{name.lower()}" for name in sections]


def test_nothing_fires_while_all_is_well(chart: Chart, spec: Manifest, tmp_path: Path) -> None:
    assert firing(chart, spec, tmp_path, WELL) == []


@pytest.mark.parametrize("name", TROUBLES)
def test_an_alert_fires_when_it_should_and_alone(chart: Chart, spec: Manifest, tmp_path: Path, name: str) -> None:
    trouble = TROUBLES[name]
    (found,) = firing(chart, spec, tmp_path, {**WELL, **trouble.series})
    assert found.pop("severity") in ("critical", "warning")
    assert found == {"alertname": name, **trouble.labels}


def test_nobody_works_also_when_nothing_is_told_at_all(chart: Chart, spec: Manifest, tmp_path: Path) -> None:
    assert [found["alertname"] for found in firing(chart, spec, tmp_path, {})] == ["LlmbatchNobodyWorks"]


def of_release(name: str, ready: str, first: str, second: str, job: str = "{}-metrics") -> dict[str, str]:
    """Give the series of a release: what its two pods say of the lead, and its one gateway, told of by the first."""
    target = f'namespace="{name}",job="{job.format(name)}"'
    return {
        f'llmbatch_leader{{{target},instance="{name}-a"}}': first,
        f'llmbatch_leader{{{target},instance="{name}-b"}}': second,
        f'llmbatch_gateway_ready{{namespace="{ready}",gateway="kong",job="{job.format(name)}",instance="{name}-a"}}': "1x1000",
    }


MONITORED: dict[str, tuple[Values, str]] = {
    "by a ServiceMonitor": ({"serviceMonitor": {"enabled": True}}, "{0}-metrics"),
    "by a PodMonitor": ({"podMonitor": {"enabled": True}}, "{0}/{0}"),
    "by other means": ({}, "{0}"),
}


@pytest.fixture(scope="module", params=MONITORED)
def monitored(request: pytest.FixtureRequest, chart: Chart) -> tuple[Manifest, str]:
    """The rules of a release that is scraped in one way or another, and its job's name there."""
    how, job = MONITORED[request.param]
    given: Values = {"fullnameOverride": NAMESPACE, "metrics": {**ON["metrics"], **how}}
    return rendered(chart, given), job


LEADS, STANDS_BY = "1x1000", "0x1000"


def test_two_releases_that_watch_namespaces_of_their_own_are_no_trouble(
    chart: Chart, monitored: tuple[Manifest, str], tmp_path: Path
) -> None:
    spec, job = monitored
    ours, theirs = of_release(NAMESPACE, "a", LEADS, STANDS_BY, job), of_release("other", "b", LEADS, STANDS_BY, job)
    assert firing(chart, spec, tmp_path, ours | theirs) == []


def test_nobody_works_in_a_release_though_another_one_does(
    chart: Chart, monitored: tuple[Manifest, str], tmp_path: Path
) -> None:
    spec, job = monitored
    ours, theirs = (
        of_release(NAMESPACE, "a", STANDS_BY, STANDS_BY, job),
        of_release("other", "b", LEADS, STANDS_BY, job),
    )
    assert [found["alertname"] for found in firing(chart, spec, tmp_path, ours | theirs)] == ["LlmbatchNobodyWorks"]
    # Whose pods are gone altogether is known only where it is known how they are scraped.
    gone = [found["alertname"] for found in firing(chart, spec, tmp_path, theirs)]
    assert gone == (["LlmbatchNobodyWorks"] if "job=" in rules(spec)[0]["expr"] else [])


def test_two_releases_at_one_gateway_are_told_of_and_one_that_is_scraped_twice_is_not(
    chart: Chart, monitored: tuple[Manifest, str], tmp_path: Path
) -> None:
    spec, job = monitored
    ours = of_release(NAMESPACE, "a", LEADS, STANDS_BY, job)
    again = of_release(NAMESPACE, "a", LEADS, STANDS_BY, "annotations-{0}")
    assert firing(chart, spec, tmp_path, ours | again) == []
    theirs = of_release("other", "a", LEADS, STANDS_BY, job)
    told = {"alertname": "LlmbatchTwoLeaders", "severity": "warning", "namespace": "a", "gateway": "kong"}
    assert firing(chart, spec, tmp_path, ours | theirs) == [told]


def test_every_metric_that_an_alert_asks_for_is_one_that_the_operator_has(spec: Manifest) -> None:
    asked = {name for rule in rules(spec) for name in re.findall(r"\b(?:llmbatch|workqueue|process)_\w+", rule["expr"])}
    assert asked <= names_of(registry())


def test_whatever_an_alert_counts_is_told_of_before_it_happens_for_the_first_time(spec: Manifest) -> None:
    """What `increase` sees first it can't tell from what was always there: a counter has to begin at 0."""
    asked = {found for rule in rules(spec) for found in re.findall(r"increase\((\w+)(?:\{([^}]*)\})?\[", rule["expr"])}
    samples = [sample for family in Metrics("1").registry.collect() for sample in family.samples]
    for name, selector in asked:
        wanted = re.findall(r'(\w+)=~?"([^"]*)"', selector)
        begun = [
            sample
            for sample in samples
            if sample.name == name and all(re.fullmatch(words, sample.labels[label]) for label, words in wanted)
        ]
        for label, words in wanted:
            assert {sample.labels[label] for sample in begun} == set(words.split("|")), name
        assert begun, name
        assert {sample.value for sample in begun} == {0}, name


def test_every_way_in_which_a_job_ends_is_told_of_from_the_beginning() -> None:
    (found,) = [family for family in Metrics("1").registry.collect() if family.name == "llmbatch_jobs_finished"]
    told = {sample.labels["reason"] for sample in found.samples}
    assert told >= {reason for reason, meaning in declared() if "Terminal" in meaning}


def names_of(found: CollectorRegistry) -> set[str]:
    """Give the names under which samples of these metrics come."""
    names = {family.name for family in found.collect()}
    return {f"{name}{suffix}" for name in names for suffix in ("", "_total", "_count", "_sum", "_bucket")}


def test_thresholds_are_values_of_the_chart(chart: Chart) -> None:
    after = {"stalled": "1h", "overdueHours": 48, "memoryMiB": 300, "backlog": 7}
    given: Values = {"metrics": {"prometheusRule": {"enabled": True, "thresholds": after, "runbooks": "https://x/y"}}}
    found = {rule["alert"]: rule for rule in rules(rendered(chart, given))}
    assert found["LlmbatchJobsStalled"]["for"] == "1h"
    assert found["LlmbatchJobOverdue"]["expr"].endswith("> 172800")
    assert found["LlmbatchMemory"]["expr"].endswith("> 3.145728e+08")
    assert found["LlmbatchBacklog"]["expr"].endswith("> 7")
    assert found["LlmbatchBacklog"]["annotations"]["runbook_url"] == "https://x/y#llmbatchbacklog"


def test_promtool_has_nothing_to_say_about_the_rules(chart: Chart, spec: Manifest, tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(spec))
    done = promtool(chart, tmp_path, "check", "rules", "rules.yaml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_reasons_that_the_page_names_exist() -> None:
    text = PAGE.read_text(encoding="utf-8").partition("## Alerts")[2]
    named = set(re.findall(r"`([A-Z][a-z]+[A-Z]\w+)`", text))
    assert {"StatusRefused", "DuplicateCancelled"} <= named <= {str(reason) for reason in Reason} | {"InProgress"}


def test_the_page_leads_nowhere_that_is_not_there() -> None:
    for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", PAGE.read_text(encoding="utf-8")):
        assert (REPOSITORY / "docs" / link).exists(), link
