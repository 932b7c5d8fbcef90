"""An upload's pod looks at the place for the results before it sends anything, and writes nothing there."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from llmbatch.api.batchjob import BatchJobSpec
from llmbatch.api.reasons import Reason
from llmbatch.job.pure.trouble import placed
from llmbatch.transfer.edge.upload import upload
from tests.edges.plans import jsonl, upload_plan
from tests.emulator.client import Instance
from tests.support import build


@pytest.mark.parametrize(
    ("arrange", "reason"),
    [
        pytest.param(lambda out: (out / "r.jsonl").write_text("x"), Reason.OUTPUT_EXISTS, id="a file"),
        pytest.param(lambda out: (out / "r.errors.jsonl").write_text("x"), Reason.OUTPUT_EXISTS, id="beside it"),
        pytest.param(lambda out: (out / "r.foreign.jsonl").write_text(""), Reason.OUTPUT_EXISTS, id="an empty one"),
        pytest.param(lambda out: (out / "r.jsonl").mkdir(), Reason.OUTPUT_INVALID, id="a folder"),
        pytest.param(lambda out: os.mkfifo(out / "r.jsonl"), Reason.OUTPUT_INVALID, id="a pipe"),
        pytest.param(lambda out: (out / "r.jsonl").symlink_to("x"), Reason.OUTPUT_INVALID, id="a link to nothing"),
        pytest.param(lambda out: (out.rmdir(), out.write_text("x")), Reason.OUTPUT_INVALID, id="a file for a folder"),
        pytest.param(
            lambda out: (out.rmdir(), out.symlink_to("/etc")), Reason.OUTPUT_INVALID, id="a link for a folder"
        ),
    ],
)
def test_what_is_in_the_way_is_told_and_nothing_is_sent(
    kong: Instance, tmp_path: Path, arrange: Callable[[Path], object], reason: Reason
) -> None:
    (tmp_path / "in.jsonl").write_bytes(jsonl("a"))
    (tmp_path / "out").mkdir()
    arrange(tmp_path / "out")
    root = str(tmp_path)
    report = upload(
        upload_plan(kong.url, root=root, path="in.jsonl", output_root=root, output_path="out/r.jsonl"), None, {}
    )
    assert report.problem is not None
    assert (report.problem.reason, report.problem.final) == (reason, False)
    assert kong.calls() == []
    volume = {"persistentVolumeClaim": {"claimName": "data", "path": "out/r.jsonl"}}
    spec = BatchJobSpec.parse(build.batchjob(output=volume)["spec"])
    assert placed(report.problem, spec, uploads=True).message.startswith("spec.output (claim data, path out/r.jsonl): ")


@pytest.mark.parametrize("path", ["r.jsonl", "out/r.jsonl", "a/b/c/r.jsonl"])
def test_a_place_that_is_free_is_left_as_it_is(kong: Instance, tmp_path: Path, path: str) -> None:
    (tmp_path / "in.jsonl").write_bytes(jsonl("a"))
    (tmp_path / "out").mkdir()
    root = str(tmp_path)
    plan = upload_plan(kong.url, root=root, path="in.jsonl", output_root=root, output_path=path)
    assert upload(plan, None, {}).problem is None
    assert sorted(item.name for item in tmp_path.rglob("*")) == ["in.jsonl", "out"]


def test_a_volume_that_cant_be_written_is_told(kong: Instance, tmp_path: Path, unwritable: Path) -> None:
    (tmp_path / "in.jsonl").write_bytes(jsonl("a"))
    plan = upload_plan(
        kong.url, root=str(tmp_path), path="in.jsonl", output_root=str(unwritable), output_path="r.jsonl"
    )
    report = upload(plan, None, {})
    assert report.problem is not None
    assert report.problem.reason is Reason.PERMISSION_DENIED
    assert kong.calls() == []
