"""Transfers of one job at the same time: by pods on several nodes, where its volumes can be on several."""

from pathlib import Path

import pytest

from llmbatch.api.reasons import Reason
from tests.controller.conftest import jsonl
from tests.controller.test_output_moved import move
from tests.controller.test_split import made, split_job
from tests.controller.test_split_volumes import IN, OUT, files, stored
from tests.controller.test_strays import left
from tests.emulator.client import Instance
from tests.support.apiserver import ApiServer
from tests.support.apistore import Json
from tests.support.inprocess import Operator, apply_all
from tests.support.kubelet import Kubelet

ONE: Json = {"limits": {"maxRequestsPerFile": 1}}
NAMES = [f"r{number}" for number in range(6)]


def volume_of(kubelet: Kubelet, api: ApiServer, *modes: str) -> Path:
    folder = kubelet.volume("data")
    (folder / "in").mkdir()
    (folder / "in" / "batch.jsonl").write_bytes(jsonl(*NAMES))
    api.edit("persistentvolumeclaims", "data", {"spec": {"accessModes": list(modes)}})
    return folder


class AtWork:
    """Watches how many transfer pods of a kind are at work at the same time."""

    def __init__(self, api: ApiServer) -> None:
        self.most: dict[str, int] = {}
        self._kinds: dict[str, str] = {}
        self._now: dict[str, set[str]] = {}
        api.on_change.append(self._changed)

    def _changed(self, kind: str, found: Json) -> None:
        plural, metadata = found.get("_plural"), found["metadata"]
        if plural == "jobs":
            (container,) = found["spec"]["template"]["spec"]["containers"]
            self._kinds[metadata["uid"]] = container["args"][0]
            self._note(metadata["uid"], running=False)
        elif plural == "pods" and kind != "DELETED":
            uid = metadata["labels"]["batch.kubernetes.io/controller-uid"]
            self._note(uid, running=found["status"]["phase"] == "Running")

    def _note(self, uid: str, *, running: bool) -> None:
        what = self._kinds[uid]
        now = self._now.setdefault(what, set())
        (now.add if running else now.discard)(uid)
        self.most[what] = max(self.most.get(what, 0), len(now))


@pytest.mark.parametrize(("mode", "most"), [("ReadWriteMany", 4), ("ReadWriteOnce", 1), ("ReadWriteOncePod", 1)])
async def test_parts_are_uploaded_and_collected_at_the_same_time_where_the_volume_is_for_many(
    operator: Operator, api: ApiServer, kong: Instance, kubelet: Kubelet, *, mode: str, most: int
) -> None:
    volume, at_work = volume_of(kubelet, api, mode), AtWork(api)
    if most > 1:
        # So slow that each meets another one, however fast the machine is.
        for operation in ("files.create", "files.content"):
            kong.fault("hang_after", operation, seconds=1, times=-1)
    apply_all(api, kong, b"", split_job(input=IN, output=OUT), **ONE)
    await operator.until(lambda: len(made(operator)) == len(NAMES))
    kong.advance(3600)
    await operator.until_ended()
    assert operator.reason() == Reason.SUCCEEDED
    assert stored(volume) == NAMES
    assert files(volume) == ["r.jsonl"]
    assert left(kong) == []
    assert len(kong.batches()) == len(NAMES)
    assert len(kong.calls("files.create")) == len(NAMES)
    if most == 1:
        assert at_work.most == {"upload": 1, "collect": 1, "merge": 1}
    else:
        assert 1 < at_work.most["upload"] <= most
        assert 1 < at_work.most["collect"] <= most
        assert at_work.most["merge"] == 1


async def test_parallelism_holds_back_uploads_however_many_pods_there_may_be(
    operator: Operator, api: ApiServer, kong: Instance, kubelet: Kubelet
) -> None:
    volume, at_work = volume_of(kubelet, api, "ReadWriteMany"), AtWork(api)
    # So slow that more of them would meet, if they were let.
    kong.fault("hang_after", "files.create", seconds=1, times=-1)
    apply_all(api, kong, b"", split_job(input=IN, output=OUT, parallelism=2), **ONE)
    for count in (2, 4, 6):
        await operator.until(lambda count=count: len(made(operator)) == count)  # type: ignore[misc]
        running = [batch for batch in kong.batches() if batch["object"]["status"] == "validating"]
        assert len(running) <= 2
        kong.advance(3600)
    await operator.until_ended()
    assert stored(volume) == NAMES
    assert at_work.most["upload"] == 2


async def test_a_deletion_while_several_are_uploaded_leaves_no_file(
    operator: Operator, api: ApiServer, kong: Instance, kubelet: Kubelet
) -> None:
    volume_of(kubelet, api, "ReadWriteMany")
    kong.fault("hang_after", "files.create", seconds=1.5, times=4)
    apply_all(api, kong, b"", split_job(input=IN, output=OUT), **ONE)
    await operator.until(lambda: len(kong.calls("files.create")) >= 2)
    api.remove("batchjobs", "job")
    await operator.until_gone()
    assert left(kong) == []


async def test_they_are_collected_one_after_the_other_into_a_volume_that_is_not_for_many_though_it_was_named_later(
    operator: Operator, api: ApiServer, kong: Instance, kubelet: Kubelet
) -> None:
    volume_of(kubelet, api, "ReadWriteMany")
    at_work = AtWork(api)
    kubelet.volume("once")
    api.edit("persistentvolumeclaims", "once", {"spec": {"accessModes": ["ReadWriteOnce"]}})
    kong.fault("hang_after", "files.content", seconds=1, times=-1)
    apply_all(api, kong, b"", split_job(input=IN), **ONE)
    await operator.until(lambda: len(made(operator)) == len(NAMES))
    move(api, {"persistentVolumeClaim": {"claimName": "once", "path": "r.jsonl"}})
    kong.advance(3600)
    await operator.until_ended()
    assert operator.reason() == Reason.SUCCEEDED
    assert at_work.most["collect"] == 1
