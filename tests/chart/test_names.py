"""Names of objects, whatever they look like."""

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
