"""Our Lua for Argo CD: each test that its own repository's form brings, run by Argo CD's own library."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart import schemas
from tests.chart.helm import Chart
from tests.cluster import ensure_tools
from tests.gitops import argocd_cm, judge
from tests.gitops.argocd_cm import LUA

pytestmark = [pytest.mark.cluster, pytest.mark.gitops]  # no cluster; but what is built is there when those run

Json = dict[str, Any]


def _health_tests() -> list[Any]:
    return [
        pytest.param(path.parent, case, id=f"{path.parent.name}-{Path(case['inputPath']).stem}")
        for path in sorted(LUA.glob("*/health_test.yaml"))
        for case in yaml.safe_load(path.read_text())["tests"]
    ]


def read(folder: Path, path: str) -> Json:
    found: Json = yaml.safe_load((folder / path).read_text())
    return found


@pytest.mark.parametrize(("folder", "case"), _health_tests())
def test_health_is_as_its_test_in_the_form_of_argo_cds_repository_says(folder: Path, case: Json) -> None:
    (said,) = judge.health(folder.name, [read(folder, case["inputPath"])])
    assert said == case["healthStatus"]


def test_what_goes_into_argocd_cm_is_the_same_lua() -> None:
    data = yaml.safe_load(argocd_cm.PAGE.read_text())["data"]
    for kind in ("BatchJob", "BatchGateway"):
        assert data[f"resource.customizations.health.llmbatch.io_{kind}"] == (LUA / kind / "health.lua").read_text()
    actions = yaml.safe_load(data["resource.customizations.actions.llmbatch.io_BatchJob"])
    assert [item["name"] for item in actions["definitions"]] == ["resubmit"]


@pytest.mark.parametrize("name", ["complete", "failed"])
def test_what_has_ended_can_be_resubmitted(name: str) -> None:
    (offered,) = judge.actions("BatchJob", read(LUA / "BatchJob", f"testdata/{name}.yaml"))
    assert (offered["name"], offered.get("disabled", False)) == ("resubmit", False)


@pytest.mark.parametrize("name", ["new", "running", "stalled", "submitted", "changed"])
def test_what_has_not_ended_can_not_be_resubmitted(name: str) -> None:
    (offered,) = judge.actions("BatchJob", read(LUA / "BatchJob", f"testdata/{name}.yaml"))
    assert (offered["name"], offered["disabled"]) == ("resubmit", True)


SECRET = {"secret": {"name": "judged", "key": "results.jsonl"}}
CONFIG_MAP = {"configMap": {"name": "judged", "key": "results.jsonl"}}


@pytest.mark.parametrize(
    ("output", "wanted"),
    [
        pytest.param(SECRET, {"secret": {"name": "judged-STAMP", "key": "results.jsonl"}}, id="Secret"),
        pytest.param(CONFIG_MAP, {"configMap": {"name": "judged-STAMP", "key": "results.jsonl"}}, id="ConfigMap"),
        pytest.param(
            {"persistentVolumeClaim": {"claimName": "data", "path": "out.d/results.jsonl"}},
            {"persistentVolumeClaim": {"claimName": "data", "path": "judged-STAMP/out.d/results.jsonl"}},
            id="volume",
        ),
    ],
)
def test_resubmit_makes_a_job_of_the_same_requests_beside_the_first_ones_results(
    tmp_path: Path, output: Json, wanted: Json
) -> None:
    ended = read(LUA / "BatchJob", "testdata/complete.yaml")
    ended["spec"] |= {"output": output, "backoffLimitPerRequest": 2, "successPolicy": {"minSucceeded": "95%"}}
    (done,) = judge.act("BatchJob", "resubmit", ended)
    assert done["operation"] == "create"
    made = done["resource"]
    stamp = re.fullmatch(r"judged-(\d{12})", made["metadata"]["name"])
    assert stamp is not None, made["metadata"]["name"]
    assert "status" not in made
    assert made["spec"] == {
        **ended["spec"],
        "output": yaml.safe_load(yaml.safe_dump(wanted).replace("STAMP", stamp[1])),
    }
    checked = Chart(ensure_tools(), schemas.custom(tmp_path)).conform(yaml.safe_dump(made))
    assert checked.ok, checked.errors


def test_resubmit_leaves_out_by_what_a_tool_knows_its_own() -> None:
    ended = read(LUA / "BatchJob", "testdata/complete.yaml")
    ended["metadata"] |= {
        "labels": {
            "team": "reviews",
            "app.kubernetes.io/instance": "app",
            "argocd.argoproj.io/instance": "app",
            "kustomize.toolkit.fluxcd.io/name": "app",
            "applyset.kubernetes.io/part-of": "applyset-app",
            "kapp.k14s.io/app": "1",
            "objectset.rio.cattle.io/hash": "a",
        },
        "annotations": {"argocd.argoproj.io/tracking-id": "app:llmbatch.io/BatchJob:default/judged"},
        "ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "y"}],
        "finalizers": ["llmbatch.io/remote-cleanup"],
    }
    (done,) = judge.act("BatchJob", "resubmit", ended)
    metadata = done["resource"]["metadata"]
    assert metadata["labels"] == {"team": "reviews"}
    assert metadata["annotations"] == {"llmbatch.io/resubmitted-from": "judged"}
    assert metadata.keys() == {"name", "namespace", "labels", "annotations"}
