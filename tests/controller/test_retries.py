"""Requests that failed in a way that may pass are sent again, in batches of their own; one result of all attempts."""

import json
from pathlib import Path
from typing import Any

import pytest

from llmbatch.api.counts import RequestCounts
from llmbatch.api.reasons import Reason
from tests.controller.conftest import jsonl
from tests.controller.test_split import made, split_job
from tests.controller.test_split_volumes import IN, OUT, files
from tests.controller.test_strays import left
from tests.emulator.client import Instance
from tests.support import build
from tests.support.apiserver import ApiServer
from tests.support.apistore import Json
from tests.support.inprocess import Operator, apply_all
from tests.support.kubelet import Kubelet

TWO: Json = {"limits": {"maxRequestsPerFile": 2}}
NAMES = ["one", "two--status-429-times-1", "three", "four--status-500-times-2", "five"]


class Place:
    """Where the input is and the results go, and how to read these."""

    def __init__(self, api: ApiServer, volume: Path, source: str, target: str) -> None:
        self._api, self.volume = api, volume
        self.spec: Json = {}
        if source == "volume":
            self.spec["input"] = IN
        if target == "volume":
            self.spec["output"] = OUT
        self._target = target
        self.is_far = source == "volume" and target != "volume"
        """The results are stored by the operator, which can't read the input."""

    def put(self, content: bytes) -> None:
        (self.volume / "in" / "batch.jsonl").write_bytes(content)

    def lines(self, suffix: str = "") -> list[Json]:
        if self._target == "volume":
            path = self.volume / "out" / f"r{suffix}.jsonl"
            text = path.read_text() if path.exists() else ""
        else:
            text = self._api.data("secrets", "results", f"r.jsonl{suffix}").decode()
        return [json.loads(line) for line in text.splitlines()]

    def ids(self, suffix: str = "") -> list[str]:
        return [line["custom_id"] for line in self.lines(suffix)]

    def leftovers(self) -> list[str]:
        """Name what is beside results and failed requests."""
        return [] if self._target != "volume" else [name for name in files(self.volume) if name.startswith(".")]


@pytest.fixture(
    params=["configmap-secret", "configmap-volume", "volume-volume", "volume-secret"],
)
def place(request: pytest.FixtureRequest, api: ApiServer, kubelet: Kubelet) -> Place:
    folder = kubelet.volume("data")
    (folder / "in").mkdir()
    return Place(api, folder, *request.param.split("-"))


def begin(
    api: ApiServer,
    kong: Instance,
    place: Place,
    *names: str,
    limits: Json | None = None,
    emulate: str = "",
    **given: Any,
) -> None:
    content = jsonl(*names)
    place.put(content)
    job = split_job(**{"backoffLimitPerRequest": 2, **place.spec, **given})
    if emulate:
        job["spec"]["metadata"] = {"emulate": emulate}
    apply_all(api, kong, content, job, **(limits or {}))


async def ended(operator: Operator, kong: Instance, batches: int) -> RequestCounts:
    """Let so many batches be made and end, one after the other."""
    for count in range(1, batches + 1):
        await operator.until(lambda count=count: len(made(operator)) >= count)  # type: ignore[misc]
        kong.advance(3600)
    status = await operator.until_ended()
    assert status.request_counts is not None
    return status.request_counts


async def test_what_failed_passingly_is_sent_again_and_the_results_are_one_in_the_order_of_the_input(
    operator: Operator, api: ApiServer, kong: Instance, place: Place
) -> None:
    begin(api, kong, place, *NAMES)
    counts = await ended(operator, kong, 3)
    assert operator.reason() == Reason.SUCCEEDED
    assert place.ids() == NAMES
    assert all(line["response"]["status_code"] == 200 for line in place.lines())
    assert counts == RequestCounts(total=5, completed=5, failed=0, retried=2)
    assert [batch.attempt for batch in operator.status().batches] == [1, 2, 3]
    assert left(kong) == []
    assert place.leftovers() == []


async def test_small_rests_of_several_parts_are_sent_together(
    operator: Operator, api: ApiServer, kong: Instance, place: Place
) -> None:
    names = ["a--status-429-times-1", "b", "c", "d--missing-times-1", "e", "f", "g", "h--status-0-times-1"]
    limits = {"limits": {"maxRequestsPerFile": 3}}
    begin(api, kong, place, *names, limits=limits, backoffLimitPerRequest=1)
    await operator.until(lambda: len(made(operator)) >= 3)
    kong.advance(3600)
    counts = await ended(operator, kong, 4)
    assert operator.reason() == Reason.SUCCEEDED
    assert place.ids() == names
    assert counts == RequestCounts(total=8, completed=8, failed=0, retried=3)
    assert [(batch.attempt, batch.parts) for batch in operator.status().batches] == [*[(1, [])] * 3, (2, [0, 1, 2])]
    assert left(kong) == []
    assert place.leftovers() == []


async def test_what_fails_for_good_or_too_often_is_among_the_failed_in_the_order_of_the_input(
    operator: Operator, api: ApiServer, kong: Instance, place: Place
) -> None:
    names = ["a--status-429", "b--status-400", "c", "d--status-500-times-1", "e--content-filter"]
    begin(api, kong, place, *names, backoffLimitPerRequest=1)
    counts = await ended(operator, kong, 2)
    assert operator.reason() == Reason.COMPLETED_WITH_FAILURES
    assert place.ids() == [names[2], names[3]]
    assert place.ids(".errors") == [names[0], names[1], names[4]]
    assert counts == RequestCounts(total=5, completed=2, failed=3, retried=2)
    assert {item.custom_id for item in operator.status().failures} == {names[0], names[1], names[4]}
    assert len(kong.batches()) == 2
    assert left(kong) == []
    assert place.leftovers() == []


async def test_results_in_the_order_of_completion_have_each_request_once(
    operator: Operator, api: ApiServer, kong: Instance, place: Place
) -> None:
    target: Json = place.spec.get("output") or build.spec_json()["output"]
    output = {**target, "order": "Completion"}
    begin(api, kong, place, *NAMES, "six--status-400", output=output)
    counts = await ended(operator, kong, 3)
    assert sorted(place.ids()) == sorted(NAMES)
    assert place.ids()[3:] == [NAMES[1], NAMES[3]], "those that were sent again came later"
    assert place.ids(".errors") == ["six--status-400"]
    assert counts == RequestCounts(total=6, completed=5, failed=1, retried=2)
