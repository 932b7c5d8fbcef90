"""What can be said of the place for the results before there are any."""

from typing import Any

import pytest

from llmbatch.api.batchjob import BatchJobSpec, Output
from llmbatch.transfer.pure.destination import flaw, is_same, too_small
from tests.support import build


def in_volume(path: str, claim: str = "data") -> dict[str, Any]:
    return {"persistentVolumeClaim": {"claimName": claim, "path": path}}


def in_object(kind: str = "secret", name: str = "results", key: str = "r.jsonl") -> dict[str, Any]:
    return {kind: {"name": name, "key": key}}


def spec(output: dict[str, Any], **changes: Any) -> BatchJobSpec:
    return BatchJobSpec.parse(build.batchjob(output=output, **changes)["spec"])


@pytest.mark.parametrize(
    ("output", "word"),
    [
        pytest.param(in_object(key="k" * 245), None, id="the longest key"),
        pytest.param(in_object(key="k" * 246), "longer than 245", id="a key without room"),
        pytest.param(in_object("configMap", key="k" * 253), "longer than 245", id="of a ConfigMap"),
        pytest.param(in_object(key=".."), "'..'", id="a key of dots"),
        pytest.param(in_object(key="..r"), "'..'", id="a key that begins with them"),
        pytest.param(in_object(name="a..b"), "no name", id="a name that no object has"),
        pytest.param(in_volume(f"out/{'x' * 241}.jsonl"), None, id="the longest name"),
        pytest.param(in_volume(f"out/{'x' * 242}.jsonl"), "too long", id="a name without room"),
        pytest.param(in_volume(f"out/{'x' * 242}"), "too long", id="without an ending"),
        pytest.param(in_volume(f"out/{'é' * 121}.jsonl"), "too long", id="bytes count, not characters"),
        pytest.param(in_volume(f"{'x' * 256}/r.jsonl"), "255 bytes", id="a folder"),
        pytest.param(in_volume("in/batch.jsonl"), "the input's own", id="the input itself"),
        pytest.param(in_volume("in/batch.jsonl", "other"), None, id="the same path of another claim"),
        pytest.param(in_volume("in"), "the input's own", id="the input's folder"),
        pytest.param(in_volume("in/batch.jsonl/r.jsonl"), "the input's own", id="below the input"),
        pytest.param(in_volume("in/results.jsonl"), None, id="beside the input"),
    ],
)
def test_a_flaw_is_told_whatever_is_there(output: dict[str, Any], word: str | None) -> None:
    told = flaw(spec(output, input=in_volume("in/batch.jsonl")))
    assert told is None if word is None else word in (told or "")


@pytest.mark.parametrize("suffix", ["errors", "foreign"])
def test_what_is_put_beside_the_results_must_not_be_the_input_either(suffix: str) -> None:
    assert flaw(spec(in_volume("out/r.jsonl"), input=in_volume(f"out/r.{suffix}.jsonl"))) is not None


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        pytest.param(in_volume("r.jsonl"), in_volume("r.jsonl"), True, id="one path"),
        pytest.param(in_volume("r.jsonl"), in_volume("r.errors.jsonl"), True, id="what is put beside it"),
        pytest.param(in_volume("r"), in_volume("r/x.jsonl"), True, id="a folder on the way"),
        pytest.param(in_volume("r.jsonl"), in_volume("r.jsonl", "other"), False, id="another claim"),
        pytest.param(in_volume("a.jsonl"), in_volume("b.jsonl"), False, id="another path"),
        pytest.param(in_object(), in_object(), True, id="one Secret"),
        pytest.param(in_object(), in_object(key="x"), True, id="another key of one Secret, which is one job's"),
        pytest.param(in_object("configMap"), in_object("configMap"), True, id="one ConfigMap"),
        pytest.param(in_object(), in_object("configMap"), False, id="a Secret and a ConfigMap"),
        pytest.param(in_object(), in_volume("r.jsonl"), False, id="a Secret and a volume"),
    ],
)
def test_two_jobs_that_write_to_the_same_place(one: dict[str, Any], other: dict[str, Any], *, same: bool) -> None:
    assert is_same(Output.parse(one), Output.parse(other)) is same
    assert is_same(Output.parse(other), Output.parse(one)) is same


def test_results_that_will_hardly_fit_are_warned_of() -> None:
    assert too_small(spec(in_object()), 1000) is None
    assert "PersistentVolumeClaim" in (too_small(spec(in_object()), 10_000) or "")
    assert "ConfigMap" in (too_small(spec(in_object("configMap"), endpoint="/v1/embeddings"), 1000) or "")
    assert too_small(spec(in_volume("r.jsonl")), 10**6) is None
