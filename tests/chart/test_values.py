"""What the chart takes."""

import json
from typing import Any

import pytest
import yaml

from tests.chart import values_table
from tests.chart.helm import CHART, Chart, Values

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
    pytest.param({"terminationGracePeriodSeconds": 5}, "want 45", id="too little time to record a batch just made"),
])  # fmt: skip
def test_values_that_can_not_work_are_refused_with_the_reason(chart: Chart, values: Values, complaint: str) -> None:
    finished = chart.template(values)

    assert not finished.ok
    assert complaint in finished.errors


def test_the_schema_knows_exactly_the_values_there_are() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))

    # Other charts of a release have other members of `global`.
    assert differences(schema, values, schema["$defs"]) == [".global takes anything"]


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
