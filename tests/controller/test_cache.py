"""What the watch has told: which jobs are active at a gateway, and which are settled for good."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from llmbatch.api.batchjob import BatchJobSpec
from llmbatch.batch.pure import remote_state
from llmbatch.runtime.cache import BATCHGATEWAY, BATCHJOB, Cache, is_settled
from llmbatch.runtime.queue import Key
from llmbatch.runtime.watch import needs_a_look
from tests.support import build

Json = dict[str, Any]
KEY = Key(BATCHJOB, "team-a", "job")


def job(status: Any = None, **metadata: Any) -> Json:
    made = build.batchjob(metadata={"uid": "u", "generation": 1, **metadata})
    return {**made, "status": status.dump()} if status is not None else made


@pytest.mark.parametrize(
    ("status", "active"),
    [
        pytest.param(None, False, id="a new job is not"),
        pytest.param(build.uploaded(), False, id="an uploaded input is not"),
        pytest.param(build.owed(), True, id="one that may have a batch is"),
        pytest.param(build.submitted(), True, id="a running batch is"),
        pytest.param(build.submitted("odd"), True, id="a batch in a state that nobody knows is"),
        pytest.param(build.submitted("completed"), False, id="a batch that has ended is not"),
        pytest.param(build.submitted("cancelled"), False, id="nor one that was cancelled"),
        pytest.param(build.stored(), False, id="nor one whose results are stored"),
        pytest.param(build.ended("Failed"), False, id="nor a job that has failed"),
    ],
)
def test_active_jobs_of_a_gateway(status: Any, active: bool) -> None:
    cache = Cache()
    cache.put(KEY, job(status))
    assert cache.active("team-a", "kong") == ({KEY: 1} if active else {})
    assert cache.active("team-b", "kong") == {}
    assert cache.active("team-a", "other") == {}


@pytest.mark.parametrize(
    ("found", "settled"),
    [
        pytest.param(job(build.ended()), True, id="Complete, without our finalizer"),
        pytest.param(job(build.ended("Failed")), True, id="Failed, without our finalizer"),
        pytest.param(job(build.ended(), finalizers=["llmbatch.io/remote-cleanup"]), False, id="with our finalizer"),
        pytest.param(job(build.ended(), deletionTimestamp="2026-03-01T12:00:00Z"), False, id="being deleted"),
        pytest.param(job(build.ended(), generation=2), False, id="with a generation nobody has observed"),
        pytest.param(job(build.stored()), False, id="stored but not ended"),
        pytest.param(job(), False, id="new"),
        pytest.param({"metadata": {}, "status": {"conditions": None}}, False, id="odd"),
    ],
)
def test_settled_jobs(found: Json, settled: bool) -> None:
    assert is_settled(found) == settled


def test_a_false_condition_ends_nothing() -> None:
    assert not remote_state.is_ended({"status": {"conditions": [build.condition("Complete", "False")]}})


def test_objects_are_given_by_kind_and_managed_fields_forgotten() -> None:
    cache = Cache()
    cache.put(KEY, job(build.ended(), managedFields=[{"manager": "kubectl"}]))
    cache.put(KEY._replace(name="new"), job())
    cache.put(Key(BATCHGATEWAY, "team-a", "kong"), build.batchgateway("http://kong"))
    assert sorted(key.name for key, _ in cache.all_of(BATCHJOB)) == ["job", "new"]
    kept = cache.get(KEY)
    assert kept is not None
    assert "managedFields" not in kept["metadata"]
    cache.drop(KEY)
    cache.drop(KEY)
    assert cache.get(KEY) is None
    assert cache.keys(BATCHGATEWAY) == [Key(BATCHGATEWAY, "team-a", "kong")]


OURS = "llmbatch.io/remote-cleanup"


@pytest.mark.parametrize(
    ("before", "after", "look"),
    [
        pytest.param(None, job(), True, id="a new object"),
        pytest.param(job(), job(), False, id="the same again"),
        pytest.param(job(), job(build.uploaded()), False, id="our own status write"),
        pytest.param(job(), job(resourceVersion="2", managedFields=[]), False, id="bookkeeping of the API server"),
        pytest.param(job(), job(generation=2), True, id="a new spec"),
        pytest.param(job(), job(deletionTimestamp="2026-03-01T12:00:00Z"), True, id="deleted"),
        pytest.param(job(), job(annotations={"llmbatch.io/resubmit": "2"}), True, id="an annotation"),
        pytest.param(job(), job(labels={"a": "b"}), True, id="a label"),
        pytest.param(job(), job(labels={"a": "b" * 99_000}), True, id="a label that is too long to be held"),
        pytest.param(
            job(labels={"a": "b" * 99_000}), job(labels={"a": "b" * 98_999 + "c"}), True, id="another one of these"
        ),
        pytest.param(job(labels={"a": "b" * 99_000}), job(labels={"a": "b" * 99_000}), False, id="the same one"),
        pytest.param(job(), job(uid="other"), True, id="another object of the same name"),
        pytest.param(job(finalizers=[OURS]), job(), True, id="our finalizer was taken away"),
        pytest.param(job(), job(finalizers=["example.com/others"]), False, id="a finalizer of others"),
    ],
)
def test_what_needs_a_look(before: Json | None, after: Json, look: bool) -> None:
    assert needs_a_look(before, after) == look


def test_of_objects_that_are_gone_nothing_is_kept_not_even_the_names_that_they_named() -> None:
    cache = Cache()
    empty = {name: len(held) for name, held in vars(cache).items() if hasattr(held, "__len__")}
    for number in range(100):
        key = KEY._replace(name=f"job-{number}")
        made = {**build.batchjob_apart(key.name), "status": build.submitted().dump()}
        made["spec"]["gatewayRef"] = {"name": f"gateway-{number}"}
        cache.put(key, made)
        assert cache.active("team-a", f"gateway-{number}") == {key: 1}
        cache.drop(key)
    assert {name: len(held) for name, held in vars(cache).items() if hasattr(held, "__len__")} == empty


def test_what_users_put_into_an_object_besides_its_spec_is_not_held_however_much_it_is() -> None:
    cache, long = Cache(), "x" * 400_000
    annotations = {"llmbatch.io/resubmit": "2", "llmbatch.io/accept-missing": "batch-1", "notes": long}
    owners = [{"kind": "ConfigMap", "name": long, "uid": "u"}]
    given = job(build.uploaded(), annotations=annotations, labels={"a": long}, ownerReferences=owners)
    given["spec"]["transfer"] = {"affinity": {"podAffinity": {"a": long}}, "nodeSelector": {"a": "b"}}
    cache.put(KEY, given)
    held = cache.get(KEY)
    assert held is not None
    assert len(json.dumps(held)) < 4000
    assert not needs_a_look(held, given)
    assert not needs_a_look(given, held)
    kept = held["metadata"]["annotations"]
    assert (kept["llmbatch.io/resubmit"], kept["llmbatch.io/accept-missing"]) == ("2", "batch-1")
    assert held["spec"]["transfer"]["nodeSelector"] == {"a": "b"}
    with pytest.raises(ValidationError, match="more than 16384 bytes"):
        BatchJobSpec.parse(held["spec"])
    with pytest.raises(ValidationError, match="more than 16384 bytes"):
        BatchJobSpec.parse(given["spec"])
