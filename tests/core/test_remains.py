"""What a stored object tells of, without judging it."""

from typing import Any

import pytest

from llmbatch.api.batchjob_status import BatchJobStatus
from llmbatch.batch.pure import remote_state
from llmbatch.provider.pure.wire import RemoteBatch
from tests.support import build

VOLUME = {"persistentVolumeClaim": {"claimName": "data", "path": "r.jsonl"}}


@pytest.mark.parametrize(("status", "named"), [
    pytest.param(None, [], id="nothing yet"),
    pytest.param("nonsense", [], id="a status that can't be read"),
    pytest.param(build.uploaded().dump(), ["file file-in"], id="an uploaded file"),
    pytest.param(build.owed().dump(), ["perhaps a batch of input file file-in", "file file-in"], id="an owed answer"),
    pytest.param(build.submitted().dump(), ["batch batch-1", "file file-in"], id="a batch"),
    pytest.param(build.stored().dump(), ["batch batch-1", "file file-err", "file file-in", "file file-out"], id="all files"),
])  # fmt: skip
def test_what_is_at_the_provider_is_named(status: Any, named: list[str]) -> None:
    assert remote_state.at_the_provider({"status": status}) == named


@pytest.mark.parametrize(("policy", "seconds"), [
    pytest.param(None, 300, id="absent"),
    pytest.param({}, 300, id="without a time"),
    pytest.param({"cleanupTimeoutSeconds": 7}, 7, id="given"),
    pytest.param({"cleanupTimeoutSeconds": "soon"}, 300, id="not a number"),
    pytest.param({"cleanupTimeoutSeconds": True}, 300, id="not a number either"),
    pytest.param({"cleanupTimeoutSeconds": -1}, 300, id="before now"),
    pytest.param("nonsense", 300, id="no policy at all"),
])  # fmt: skip
def test_the_time_for_cleaning_up_is_the_operators_where_the_jobs_can_not_be_read(policy: Any, seconds: float) -> None:
    assert remote_state.cleanup_seconds({"spec": {"deletionPolicy": policy}}, 300) == seconds
    assert remote_state.cleanup_seconds({"spec": "nonsense"}, 300) == 300


@pytest.mark.parametrize(("policy", "output", "stored", "expected"), [
    pytest.param({"output": "Delete"}, VOLUME, True, True, id="stored results in a volume that go"),
    pytest.param({"output": "Delete"}, VOLUME, False, False, id="nothing is stored"),
    pytest.param({"output": "Delete"}, {"secret": {"name": "r", "key": "k"}}, True, False, id="in a Secret"),
    pytest.param({"output": "Retain"}, VOLUME, True, False, id="that stay"),
    pytest.param(None, VOLUME, True, False, id="the default"),
])  # fmt: skip
def test_only_files_in_a_volume_are_deleted_by_us(policy: Any, output: Any, *, stored: bool, expected: bool) -> None:
    status = build.stored().dump() if stored else build.submitted().dump()
    raw = {"spec": build.spec_json(output=output, deletionPolicy=policy), "status": status}
    assert remote_state.discards_files(raw) is expected


@pytest.mark.parametrize(("label", "part", "attempt"), [
    pytest.param("2", 2, 1, id="a part"),
    pytest.param("2.3", 2, 3, id="another attempt at it"),
    pytest.param("9" * 30, 0, 1, id="a part that fits into no field"),
    pytest.param("2." + "9" * 30, 2, 1, id="an attempt that fits into none"),
    pytest.param("9" * 5000, 0, 1, id="more digits than are ever read"),
    pytest.param("2." + "9" * 5000, 2, 1, id="as many behind a part"),
    pytest.param("\u0663", 0, 1, id="digits of another script"),
    pytest.param("-1", 0, 1, id="below zero"),
    pytest.param("", 0, 1, id="nothing"),
])  # fmt: skip
def test_whatever_metadata_say_of_a_batch_that_was_found_again_a_status_can_hold_it(
    label: str, part: int, attempt: int
) -> None:
    remote = RemoteBatch(id="batch-1", status="in_progress", metadata={"llmbatch_part": label})
    (batch,) = remote_state.found_again(BatchJobStatus(), [remote], build.NOW, whole=True).batches
    assert (batch.id, batch.part, batch.attempt) == ("batch-1", part, attempt)
