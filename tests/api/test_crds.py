"""The CustomResourceDefinitions are what the models make, and they teach."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from llmbatch.api import crd, reasons
from llmbatch.api.batchgateway import BatchGatewaySpec, BatchGatewayStatus
from llmbatch.api.batchjob_status import BatchJobStatus
from llmbatch.api.reasons import Reason
from llmbatch.job.pure import trouble
from tests.support import build, kstatus

ROOT = Path(__file__).parents[2]
FOLDERS = ("crds", "charts/llmbatch/files/crds")
Schema = dict[str, Any]


def fields(schema: Schema, path: str) -> Iterator[tuple[str, Schema]]:
    """Give every schema below one, with its path."""
    for name, inner in schema.get("properties", {}).items():
        yield f"{path}.{name}", inner
        yield from fields(inner, f"{path}.{name}")
    for member in ("items", "additionalProperties"):
        if isinstance(schema.get(member), dict):
            yield f"{path}[]", schema[member]
            yield from fields(schema[member], f"{path}[]")


def root(definition: Schema) -> Schema:
    found: Schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return found


FIELDS = [
    pytest.param(path, schema, id=path)
    for definition in (crd.batchjob(), crd.batchgateway())
    for path, schema in fields(root(definition), definition["spec"]["names"]["kind"])
]


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_committed_files_are_what_the_models_make(folder: str, tmp_path: Path) -> None:
    made = crd.write(tmp_path)
    assert sorted(path.name for path in made) == sorted(path.name for path in (ROOT / folder).iterdir())
    for path in made:
        assert (ROOT / folder / path.name).read_text() == path.read_text(), "make crds writes them"


@pytest.mark.parametrize(("path", "schema"), FIELDS)
def test_each_field_is_described_and_structural(path: str, schema: Schema) -> None:
    if not path.endswith(("[]", ".metadata")):
        assert schema.get("description", "").strip(), "kubectl explain has nothing to say"
    assert "type" in schema or schema.get("x-kubernetes-int-or-string"), "not structural"
    for keyword in ("$ref", "$defs", "anyOf", "oneOf", "allOf", "const", "title", "nullable", "exclusiveMinimum"):
        assert keyword not in schema
    assert schema.get("default", 0) is not None
    assert schema.get("type") != "null"


@pytest.mark.parametrize(("path", "schema"), FIELDS)
def test_what_a_user_writes_is_bounded(path: str, schema: Schema) -> None:
    if ".spec" not in path or "resources" in path or path.endswith((".key", ".effect", ".operator")):
        return
    if schema.get("type") == "array":
        assert "maxItems" in schema
    if schema.get("type") == "string" and "enum" not in schema and "nodeSelector" not in path:
        assert "maxLength" in schema


def test_conditions_are_a_map_by_type() -> None:
    conditions = root(crd.batchjob())["properties"]["status"]["properties"]["conditions"]
    assert conditions["x-kubernetes-list-map-keys"] == ["type"]


def test_what_costs_money_is_immutable() -> None:
    spec = root(crd.batchjob())["properties"]["spec"]
    for name in ("gatewayRef", "endpoint", "input"):
        rules = [rule["rule"] for rule in spec["properties"][name]["x-kubernetes-validations"]]
        assert "self == oldSelf" in rules, name
    assert any("oldSelf.model" in rule["rule"] for rule in spec["x-kubernetes-validations"])


def test_each_place_is_exactly_one() -> None:
    spec = root(crd.batchjob())["properties"]["spec"]["properties"]
    for name in ("input", "output"):
        messages = [rule["message"] for rule in spec[name]["x-kubernetes-validations"]]
        assert any("exactly one of configMap, secret, persistentVolumeClaim" in message for message in messages)


def test_the_file_says_how_it_is_made() -> None:
    text = (ROOT / "crds/batchjobs.yaml").read_text()
    assert text.startswith("# Generated from operator/llmbatch/api")
    assert yaml.safe_load(text)["spec"]["versions"][0]["subresources"] == {"status": {}}


# --- reasons ---------------------------------------------------------------------------------------------------------


def test_every_reason_is_documented_where_it_is_declared() -> None:
    text = Path(str(reasons.__file__)).read_text()
    (declared,) = (node for node in ast.parse(text).body if isinstance(node, ast.ClassDef))
    body, lines = declared.body, text.splitlines()
    for index, node in enumerate(body):
        if isinstance(node, ast.Assign):
            _, beside, told = lines[node.lineno - 1].partition("  # ")
            if not beside:
                below = body[index + 1]
                assert isinstance(below, ast.Expr), ast.unparse(node)
                assert isinstance(below.value, ast.Constant), ast.unparse(node)
                told = str(below.value.value)
            assert told.endswith("."), ast.unparse(node)


@pytest.mark.parametrize("reason", Reason)
def test_a_reason_is_one_word_in_camel_case(reason: Reason) -> None:
    assert reason.isalnum()
    assert reason[0].isupper()
    assert reason.replace("TLS", "Tls").upper() == reason.name.replace("_", "").upper()


def test_troubles_are_reasons_that_are_no_ends() -> None:
    ends = {Reason.SUCCEEDED, Reason.COMPLETED_WITH_FAILURES, Reason.ALL_REQUESTS_FAILED, Reason.BATCH_FAILED}
    assert not ends & (trouble.PASSING | trouble.FAR_END)


# --- models ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "status", [build.status(), build.uploaded(), build.owed(), build.submitted(), build.stored(), build.ended("Failed")]
)
def test_a_status_round_trips(status: Any) -> None:
    assert type(status).parse(status.dump()) == status


def test_a_spec_round_trips_and_forgets_what_it_does_not_know() -> None:
    given = build.spec_json(metadata={"team": "a"}, transfer={"tolerations": [{"operator": "Exists"}]}, future={"x": 1})
    spec = build.spec(**{key: given[key] for key in ("metadata", "transfer", "future")})
    assert type(spec).parse(spec.dump()) == spec
    assert "future" not in spec.dump()


def test_an_explicit_null_is_absent() -> None:
    gateway = BatchGatewaySpec.parse({"url": "https://kong", "tls": None, "headers": None, "filesPath": None})
    assert (gateway.files_path, gateway.headers) == ("/files", [])


def test_nothing_empty_is_written() -> None:
    assert build.status(batches=[], failures=[]).dump() == {"observedGeneration": 1}


@pytest.mark.parametrize("definition", [crd.batchjob(), crd.batchgateway()], ids=["BatchJob", "BatchGateway"])
def test_an_object_that_nobody_has_looked_at_is_not_taken_for_done(definition: Schema) -> None:
    default = root(definition)["properties"]["status"]["default"]
    fresh = {"metadata": {"generation": 1}, "status": default}
    assert kstatus.computed(fresh) == "InProgress"
    assert kstatus.computed({"metadata": {"generation": 1}}) == "Current", "without the default it would be"


@pytest.mark.parametrize("model", [BatchJobStatus, BatchGatewayStatus])
def test_the_default_status_tells_of_nothing(model: type[BatchJobStatus | BatchGatewayStatus]) -> None:
    assert model.parse({"observedGeneration": -1}) == model()
    assert model.parse({"observedGeneration": 1}).observed_generation == 1
