"""Names of objects, whatever they look like."""

import re

import pytest

from tests.chart.cases import EVERYTHING
from tests.chart.helm import Chart, Values, manifests


@pytest.mark.parametrize("word", ["2024", "1e3", "0x1f", "true", "on", "null"])
def test_a_name_that_yaml_takes_for_something_else_stays_a_name(chart: Chart, word: str) -> None:
    named_so = {"name": word, "key": word}
    values: Values = {
        **EVERYTHING,
        "nameOverride": word,
        "fullnameOverride": word,
        "watchNamespaces": [word],
        "serviceAccount": {"name": word},
        "imagePullSecrets": [{"name": word}],
        "caBundle": {"secret": named_so},
        "metrics": {
            **EVERYTHING["metrics"],
            "dashboard": {"enabled": True, "namespace": word, "folder": word, "labels": {word: word}},
        },
        "priorityClassName": word,
        "uninstall": {"priorityClassName": word},
        "emulator": {"enabled": True, "priorityClassName": word},
    }
    for given in (values, {**values, "caBundle": {"configMap": named_so}, "watchNamespaces": []}):
        rendered = chart.template(given, release=word, namespace=word)
        assert rendered.ok, rendered.errors
        finished = chart.conform(rendered.output)
        assert finished.ok, finished.errors
        places = {found["metadata"].get("namespace", word) for found in manifests(rendered.output)}
        assert places == {word}, "one without a namespace goes to the release's, whatever was meant"


@pytest.mark.parametrize("release", ["my.release", "2024", "7.llmbatch.v2", "a" * 53, "9" * 53, f"{'a' * 51}.b"])
@pytest.mark.parametrize("values", [{}, {"fullnameOverride": "1.batches"}, {"nameOverride": "v1.x"}], ids=str)
def test_services_have_names_that_every_supported_kubernetes_takes(chart: Chart, release: str, values: Values) -> None:
    rendered = chart.template({**EVERYTHING, **values}, release=release)
    assert rendered.ok, rendered.errors
    services = [found["metadata"]["name"] for found in manifests(rendered.output) if found["kind"] == "Service"]
    assert len(services) == 2
    for name in services:
        # RFC 1035, as the API server before 1.34 wants it.
        assert re.fullmatch(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", name), name


def test_names_that_were_right_stay_as_they_were(chart: Chart) -> None:
    for release, name in (("llmbatch", "llmbatch"), ("team", "team-llmbatch"), ("llmbatch-blue", "llmbatch-blue")):
        rendered = chart.template({}, release=release)
        (deployment,) = [found for found in manifests(rendered.output) if found["kind"] == "Deployment"]
        assert deployment["metadata"]["name"] == name
