"""What the chart takes."""

import json
import re
from typing import Any

import pytest
import yaml

from llmbatch.settings import Settings
from tests.chart import values_table
from tests.chart.helm import CHART, Chart, Values, manifests, named

Schema = dict[str, Any]


@pytest.mark.parametrize(("values", "complaint"), [
    pytest.param({"replica": 2}, "additional properties 'replica' not allowed", id="a value that does not exist"),
    pytest.param({"image": {"name": "x"}}, "additional properties 'name' not allowed", id="a member that does not exist"),
    pytest.param({"operator": {"workers": "many"}}, "got string, want integer", id="words for a number"),
    pytest.param({"operator": {"workers": 0}}, "minimum: got 0, want 1", id="no workers"),
    pytest.param({"operator": {"logLevel": "loud"}}, "value must be one of 'debug'", id="an unknown log level"),
    pytest.param({"watchNamespaces": "team-a"}, "got string, want array", id="one namespace instead of a list"),
    pytest.param({"watchNamespaces": ["Team_A"]}, "does not match pattern", id="a namespace that can't exist"),
    pytest.param({"emulator": {"env": {"PATH": "/"}}}, "'PATH' does not match pattern", id="a variable not of the emulator"),
    pytest.param({"leaderElection": {"renewSeconds": 15}}, "retrySeconds < renewSeconds < leaseSeconds", id="a lease that ends before its holder"),
    pytest.param({"metrics": {"serviceMonitor": {"enabled": True, "scrapeTimeout": "1m"}}}, "scrapeTimeout (1m) is longer than its interval (30s)", id="a scrape that outlasts its interval"),
    pytest.param({"metrics": {"podMonitor": {"enabled": True, "interval": "500ms", "scrapeTimeout": "1s"}}}, "scrapeTimeout (1s) is longer than its interval (500ms)", id="the same, by a PodMonitor"),
    pytest.param({"terminationGracePeriodSeconds": 5}, "want 45", id="too little time to record a batch just made"),
])  # fmt: skip
def test_values_that_can_not_work_are_refused_with_the_reason(chart: Chart, values: Values, complaint: str) -> None:
    finished = chart.template(values)

    assert not finished.ok
    assert complaint in finished.errors


def test_the_schema_knows_exactly_the_values_there_are() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))

    # A chart that depends on this one may ask `enabled`; other charts of a release have other members of `global`.
    known = [".enabled is only in one", ".global takes anything"]
    assert differences(schema, values, schema["$defs"]) == known


def differences(schema: Schema, value: object, definitions: dict[str, Schema], path: str = "") -> list[str]:
    if "$ref" in schema:
        schema = definitions[schema["$ref"].rsplit("/", 1)[1]]
    if "properties" not in schema or not isinstance(value, dict):
        return []
    found = [] if schema.get("additionalProperties") is False else [f"{path} takes anything"]
    found += [f"{path}.{name} is only in one" for name in set(schema["properties"]) ^ set(value)]
    for name, member in value.items():
        if name in schema["properties"]:
            found += differences(schema["properties"][name], member, definitions, f"{path}.{name}")
    return found


def test_every_value_is_documented() -> None:
    assert values_table.undocumented(values_table.VALUES.read_text(encoding="utf-8")) == []


def test_the_charts_readme_has_the_values_of_today() -> None:
    readme = values_table.README.read_text(encoding="utf-8")

    assert readme == values_table.updated(readme, values_table.VALUES.read_text(encoding="utf-8")), (
        "run python -m tests.chart.values_table"
    )


def test_a_value_is_documented_by_the_comment_above_it() -> None:
    text = "# Not documentation.\na:\n  # -- First line,\n  # second line.\n  b: {c: 1}\n# -- A group as one.\nd:\n  e: 2\nf: 3\n"

    assert values_table.read(text) == [
        values_table.Value(("a", "b"), {"c": 1}, "First line, second line."),
        values_table.Value(("d",), {"e": 2}, "A group as one."),
    ]
    assert values_table.undocumented(text) == ["f"]


@pytest.mark.parametrize(
    "values",
    [
        {"imagePullSecrets": None},
        {"crds": {"annotations": None}},
        {"networkPolicy": None},
        {"tests": None},
        {"commonAnnotations": None},
        {"metrics": {"dashboard": {"enabled": True, "annotations": None, "labels": None}}},
    ],
    ids=str,
)
def test_what_is_left_empty_is_as_if_it_were_not_there(chart: Chart, values: Values) -> None:
    finished = chart.template(values)
    assert finished.ok, finished.errors


def emptied(values: Values, path: tuple[str, ...]) -> Values:
    """Give values of which one is left empty."""
    head, *rest = path
    inner = values.get(head) or {}
    return {**values, head: emptied(inner, tuple(rest)) if rest else None}


MAY_BE_ABSENT = {("global",), ("tests",), ("networkPolicy",), ("transfer", "securityContext")}
"""Sections that are asked for with care: a release that was upgraded with --reuse-values may have no such values."""


def every(values: Values, schema: Schema, definitions: Values, path: tuple[str, ...] = ()) -> list[tuple[Any, bool]]:
    """Give the path of each value that the schema knows by name, and whether nothing can do without."""
    found: list[tuple[Any, bool]] = []
    for name, value in values.items():
        here, known = (*path, name), schema["properties"][name]
        known = definitions[known["$ref"].rsplit("/", 1)[1]] if "$ref" in known else known
        if here not in MAY_BE_ABSENT and known.get("additionalProperties") is False and value and name != "resources":
            inner = every(value, known, definitions, here)
            found += [(here, here == ("transfer",) or any(needed for _, needed in inner)), *inner]
        else:
            found.append((here, here not in MAY_BE_ABSENT and not isinstance(value, dict) and value not in ("", [])))
    return found


def test_what_nothing_can_do_without_can_not_be_left_empty_and_all_else_can(chart: Chart) -> None:
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    monitored: Values = {"serviceMonitor": {"enabled": True}, "prometheusRule": {"enabled": True}}
    on: Values = {"metrics": {**monitored, "dashboard": {"enabled": True}}, "emulator": {"enabled": True}}
    paths = every(values, schema, schema["$defs"])
    assert sum(needed for _, needed in paths) > 50

    optional = on
    for path in [path for path, needed in paths if not needed]:
        optional = emptied(optional, path)
    finished = chart.template(optional)
    assert finished.ok, finished.errors
    assert chart.conform(finished.output).ok
    operator = named(manifests(finished.output), "Deployment", "llmbatch")
    environment = operator["spec"]["template"]["spec"]["containers"][0]["env"]
    Settings.from_environment({item["name"]: item["value"] for item in environment if "value" in item})

    for sections in (True, False):
        given, missing = on, set()
        for path in [path for path, needed in paths if needed]:
            if (path in {known[:-1] for known, _ in paths}) == sections and not (sections and len(path) > 1):
                given = emptied(given, path)
                missing.add(path[-1])
        finished = chart.template(given)
        assert not finished.ok
        told = " ".join(re.findall(r"missing propert(?:y|ies) (.*)", finished.errors))
        assert set(re.findall(r"'(\w+)'", told)) == missing
