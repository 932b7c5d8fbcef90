"""The chart's alerts where there is more than one release, and where processes come and go."""

from pathlib import Path

import pytest

from tests.chart.helm import NAMESPACE, Chart, Manifest, Values
from tests.chart.test_alerts import ON, WELL, firing, rendered, rules

MONITORED: dict[str, tuple[Values, str]] = {
    "by a ServiceMonitor": ({"serviceMonitor": {"enabled": True}}, "llmbatch-metrics"),
    "by a PodMonitor": ({"podMonitor": {"enabled": True}}, f"{NAMESPACE}/llmbatch"),
}
PROCESS = "process_start_time_seconds"


@pytest.fixture(scope="module", params=MONITORED)
def release(request: pytest.FixtureRequest, chart: Chart) -> tuple[Manifest, str]:
    """The rules of a release, and what the Prometheus Operator labels its pods with."""
    how, job = MONITORED[request.param]
    spec = rendered(chart, {"metrics": {**ON["metrics"], **how}})
    return spec, f'namespace="{NAMESPACE}",job="{job}"'


def of_target(series: dict[str, str], target: str) -> dict[str, str]:
    """Give series as a monitor scrapes them from one pod; a label of the metric's own stays, as honorLabels has it."""
    found: dict[str, str] = {}
    for name, values in series.items():
        metric, _, own = name.rstrip("}").partition("{")
        labels = dict(pair.split("=", 1) for pair in target.split(","))
        labels |= dict(pair.split("=", 1) for pair in own.split(",") if pair)
        labels.setdefault("instance", '"a"')
        labels["job"] = dict(pair.split("=", 1) for pair in target.split(","))["job"]
        found[f"{metric}{{{','.join(f'{key}={value}' for key, value in labels.items())}}}"] = values
    return found


BROKEN = {
    "llmbatch_duplicate_batches_total": "0x880 1x120",
    "llmbatch_left_behind_total": "3x880 4x120",
    'llmbatch_jobs_stalled{reason="OutputExists"}': "2x1000",
    'llmbatch_oldest_unfinished_batch_seconds{phase="InProgress"}': "200000x1000",
    'llmbatch_gateway_ready{namespace="team-z",gateway="kong"}': "0x1000",
    'llmbatch_gateway_request_duration_seconds_count{operation="get batch",code="429"}': "0+5000x1000",
    'llmbatch_gateway_request_duration_seconds_count{operation="get batch",code="none"}': "0+5000x1000",
    'llmbatch_transfer_failures_total{transfer="upload",reason="TransferFailed"}': "0x880 1x9 2x9 3x9 4x9 5x100",
    'llmbatch_jobs_finished_total{result="failed",reason="InvalidInput"}': "0+1x1000",
    'workqueue_depth{name="batchjob"}': "9000x1000",
    "llmbatch_status_refusals_total": "0+1x1000",
    "llmbatch_event_loop_lag_seconds": "3x1000",
    "process_resident_memory_bytes": "2000000000x1000",
    PROCESS: "60x880 52810x9 53410x9 54010x9 54610x9 55210x100",
    "llmbatch_build_info": "1x1000",
    'llmbatch_leader{instance="a"}': "1x1000",
}
"""All that an alert tells of, in one release."""
LARGE = {
    'llmbatch_gateway_request_duration_seconds_count{operation="get batch",code="2xx"}': "0+10000000x1000",
    'llmbatch_jobs_finished_total{result="complete",reason="Succeeded"}': "0+10000000x1000",
}
OURS_ALONE = {"LlmbatchNobodyWorks", "LlmbatchTwoLeaders"}
"""Alerts that BROKEN gives no reason for."""


def healthy(target: str) -> dict[str, str]:
    others = ('instance="other"', "llmbatch_leader")
    ours = {name: values for name, values in WELL.items() if not any(other in name for other in others)}
    return of_target({**ours, 'llmbatch_leader{instance="a"}': "1x1000"}, target)


def test_what_is_the_matter_in_another_release_is_not_told_of_by_this_one(
    chart: Chart, release: tuple[Manifest, str], tmp_path: Path
) -> None:
    """Its thresholds are its own, too: a larger release may have more memory than this one's limit."""
    spec, target = release
    theirs = of_target(BROKEN, 'namespace="other",job="other-metrics",instance="b"')
    assert firing(chart, spec, tmp_path, healthy(target) | theirs) == []


def test_what_is_the_matter_here_is_told_of_however_well_a_larger_release_is(
    chart: Chart, release: tuple[Manifest, str], tmp_path: Path
) -> None:
    spec, target = release
    theirs = of_target(LARGE, 'namespace="other",job="other-metrics",instance="b"')
    found = firing(chart, spec, tmp_path, of_target(BROKEN, target) | theirs)
    assert {alert["alertname"] for alert in found} == {rule["alert"] for rule in rules(spec)} - OURS_ALONE
    for alert in found:
        assert alert["release"] == "llmbatch", "or the same alert of another release would be taken for this one"
        assert alert["namespace"] == ("team-z" if alert["alertname"] == "LlmbatchGatewayNotReady" else NAMESPACE)


@pytest.mark.parametrize("name", ["llmbatch_duplicate_batches_total", "llmbatch_left_behind_total"])
@pytest.mark.parametrize("monitored", [False, True])
def test_what_a_process_found_before_it_was_scraped_for_the_first_time_is_told_of_for_an_hour(
    chart: Chart, tmp_path: Path, name: str, monitored: bool
) -> None:
    """An operator that takes over looks for what the last one has left at once, with a counter that nobody has seen at 0."""
    how, job = MONITORED["by a ServiceMonitor"]
    spec = rendered(chart, {"metrics": {**ON["metrics"], **(how if monitored else {})}})
    target = f'namespace="{NAMESPACE}",job="{job}"'
    new = {f'{name}{{instance="new"}}': "_x890 1x120", f'{PROCESS}{{instance="new"}}': "_x890 53400x120"}
    (found,) = firing(chart, spec, tmp_path, healthy(target) | of_target(new, target))
    assert found["alertname"] in ("LlmbatchDuplicateBatch", "LlmbatchLeftBehind")
    old = {f'{name}{{instance="new"}}': "_x800 1x200", f'{PROCESS}{{instance="new"}}': "_x800 48000x200"}
    assert firing(chart, spec, tmp_path, healthy(target) | of_target(old, target)) == []


def test_a_counter_that_began_anew_and_reached_its_old_number_has_grown(chart: Chart, tmp_path: Path) -> None:
    again = {
        'llmbatch_duplicate_batches_total{instance="a",job="m"}': "1x1000",
        f'{PROCESS}{{instance="a",job="m"}}': "60x890 53400x120",
    }
    (found,) = firing(chart, rendered(chart), tmp_path, {**WELL, **again})
    assert found["alertname"] == "LlmbatchDuplicateBatch"


def test_one_that_two_prometheus_scrape_is_one_leader_and_has_one_queue(chart: Chart, tmp_path: Path) -> None:
    """Where rules are asked of both together, as by Thanos' ruler, each process is told of twice."""
    well = {name: values for name, values in WELL.items() if "llmbatch_leader" not in name}
    twice = {
        f'llmbatch_leader{{instance="{instance}",prometheus_replica="{replica}"}}': f"{leads}x1000"
        for instance, leads in (("a", 1), ("b", 0))
        for replica in (0, 1)
    }
    twice |= {
        f'workqueue_depth{{name="batchjob",instance="a",job="m",prometheus_replica="{replica}"}}': "300x1000"
        for replica in (0, 1)
    }
    assert firing(chart, rendered(chart), tmp_path, {**well, **twice}) == []


def test_an_operator_that_is_killed_again_and_again_is_told_of_though_no_other_alert_has_time_for_it(
    chart: Chart, tmp_path: Path
) -> None:
    """Its memory is at the limit for some minutes, nobody works for one, and so on."""
    starts = " ".join(f"{60 * minute}x9" for minute in range(10, 990, 10))
    memory = " ".join("90000000+100000000x3 490000000x4 _" for _ in range(110))
    leads = " ".join("1x7 0 _" for _ in range(100))
    well = {name: values for name, values in WELL.items() if "llmbatch_leader" not in name}
    series = {PROCESS: starts, "process_resident_memory_bytes": memory, "llmbatch_build_info": "1x1000"}
    ours = {f'{name}{{instance="k",job="m"}}': values for name, values in series.items()}
    ours['llmbatch_leader{instance="k",job="m"}'] = leads
    (found,) = firing(chart, rendered(chart), tmp_path, {**well, **ours})
    assert found["alertname"] == "LlmbatchRestarts"


def test_an_operator_that_is_down_for_longer_than_it_runs_is_told_of_while_it_is_down_too(
    chart: Chart, tmp_path: Path
) -> None:
    """Between two tries of the kubelet there are minutes, in which nothing of it can be scraped."""
    down = "stale _x8"
    starts = "_x5 " + " ".join(f"{60 * minute} {down}" for minute in range(5, 995, 10))
    built = "_x5 " + " ".join(f"1 {down}" for _ in range(5, 995, 10))
    series = {PROCESS: starts, "llmbatch_build_info": built}
    ours = {f'{name}{{instance="k",job="m"}}': values for name, values in series.items()}
    (found,) = firing(chart, rendered(chart), tmp_path, {**WELL, **ours})
    assert found["alertname"] == "LlmbatchRestarts"


def test_an_upload_that_fails_for_hours_is_told_of_for_as_long(chart: Chart, tmp_path: Path) -> None:
    """By then it is made again so rarely that nothing grows between two tries."""
    name = 'llmbatch_transfer_failures_total{transfer="upload",reason="GatewayUnreachable"}'
    series = {name: "9x600 10x400", "llmbatch_failed_uploads_in_a_row": "9x600 10x400"}
    (found,) = firing(chart, rendered(chart), tmp_path, {**WELL, **series})
    assert (found["alertname"], found["transfer"]) == ("LlmbatchTransfersFail", "upload")


def test_a_rollout_is_no_restart(chart: Chart, tmp_path: Path) -> None:
    pods = [f'{{instance="{number}",job="m"}}' for number in range(8)]
    new = {f"{PROCESS}{pod}": f"_x{880 + 5 * number} {52800 + 300 * number}x8" for number, pod in enumerate(pods)}
    built = {f"llmbatch_build_info{pod}": f"_x{880 + 5 * number} 1x8" for number, pod in enumerate(pods)}
    assert firing(chart, rendered(chart), tmp_path, {**WELL, **new, **built}) == []


def test_where_prometheus_renames_the_namespace_of_gateways_each_is_told_of_by_its_own(
    chart: Chart, tmp_path: Path
) -> None:
    ready = {
        f'llmbatch_gateway_ready{{namespace="{NAMESPACE}",exported_namespace="{team}",gateway="kong"}}': f"{number}x1000"
        for number, team in enumerate(("team-a", "team-b"))
    }
    (found,) = firing(chart, rendered(chart), tmp_path, {**WELL, **ready})
    assert (found["alertname"], found["exported_namespace"]) == ("LlmbatchGatewayNotReady", "team-a")


@pytest.mark.parametrize(("memory", "bytes_"), [
    ("256Mi", 256 * 2**20), ("1Gi", 2**30), (268435456, 2**28), ("2e9", 2e9), ("512M", 512e6), ("1.5G", 1.5e9), ("1Ti", 2**40),
])  # fmt: skip
def test_memory_is_told_of_at_four_fifths_of_its_limit_whatever_that_is(
    chart: Chart, memory: str | int, bytes_: float
) -> None:
    (rule,) = [rule for rule in rules(limited(chart, {"memory": memory})) if rule["alert"] == "LlmbatchMemory"]
    assert float(rule["expr"].rpartition(">")[2]) == pytest.approx(0.8 * bytes_)


@pytest.mark.parametrize("limits", [{"memory": None}, None])
def test_without_a_limit_of_memory_there_is_none_to_come_near(chart: Chart, limits: Values | None) -> None:
    assert "LlmbatchMemory" not in {rule["alert"] for rule in rules(limited(chart, limits))}


def limited(chart: Chart, limits: Values | None) -> Manifest:
    return rendered(chart, {**ON, "resources": {"limits": limits}})


def test_memory_that_is_told_of_only_at_its_limit_or_above_is_refused(chart: Chart) -> None:
    rule = {"enabled": True, "thresholds": {"memoryMiB": 400}}
    finished = chart.template({"metrics": {"prometheusRule": rule}, "resources": {"limits": {"memory": "400Mi"}}})
    assert not finished.ok
    assert "memoryMiB (400) is no less than resources.limits.memory (400Mi)" in finished.errors
