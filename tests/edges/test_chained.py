"""Results of one BatchJob that are the input of the next: where there are no hard links, they are seen before they are whole."""

from pathlib import Path

import pytest

from llmbatch.api.reasons import Reason
from llmbatch.transfer.edge.upload import upload
from llmbatch.transfer.pure.report import UploadReport
from llmbatch.transfer.volumes import spool, walking
from llmbatch.transfer.volumes.problem import ProblemError
from tests.edges.collecting import FIVE
from tests.edges.plans import jsonl, upload_plan
from tests.emulator.client import Instance

CLAIM = ".llmbatch-0123456789abcdef-01234567.results.part.claim"


def read(kong: Instance, volume: Path) -> UploadReport:
    return upload(upload_plan(kong.url, root=str(volume), path="out/all.jsonl"), None, {})


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


@pytest.mark.parametrize("part", [b"", jsonl("p1", "p2"), jsonl(*FIVE)[:-20]])
def test_what_is_half_made_is_waited_for_and_not_sent(kong: Instance, tmp_path: Path, out: Path, part: bytes) -> None:
    (out / CLAIM).write_text("all.jsonl")
    (out / "all.jsonl").write_bytes(part)
    problem = read(kong, tmp_path).problem
    assert problem is not None
    assert (problem.reason, problem.final) == (Reason.INPUT_NOT_FOUND, False)
    assert "out/all.jsonl: is being written" in problem.message
    assert f"delete out/{CLAIM}" in problem.message
    assert kong.files() == []
    (out / "all.jsonl").write_bytes(jsonl(*FIVE))
    (out / CLAIM).unlink()
    assert read(kong, tmp_path).problem is None


def test_what_is_made_beside_it_holds_nothing_up(kong: Instance, tmp_path: Path, out: Path) -> None:
    (out / CLAIM).write_text("other.jsonl")
    (out / ".llmbatch-of-no-form.claim").mkdir()
    (out / "all.jsonl").write_bytes(jsonl(*FIVE))
    assert read(kong, tmp_path).problem is None


def test_the_claim_that_a_collection_lays_is_such_a_one(kong: Instance, tmp_path: Path, out: Path) -> None:
    (out / "all.jsonl").write_bytes(jsonl(*FIVE))
    with walking.folder(str(tmp_path), ["out"], "output") as folder, spool.spool(folder, "key") as held:
        (out / held.claim(held.name("results"))).write_text("all.jsonl")
        problem = read(kong, tmp_path).problem
    assert problem is not None
    assert problem.reason is Reason.INPUT_NOT_FOUND
    (out / "all.jsonl").unlink()
    with walking.folder(str(tmp_path), ["out"], "output") as folder, spool.spool(folder, "key"):
        assert list(out.iterdir()) == [], "its next try takes it away"


def test_an_empty_file_that_took_the_name_is_not_taken_for_an_empty_input(tmp_path: Path, out: Path) -> None:
    (out / "all.jsonl").touch()
    with walking.folder(str(tmp_path), ["out"], "input") as folder, folder.open("all.jsonl") as file:
        folder.check_whole("all.jsonl", file)
        (out / "whole").write_bytes(jsonl(*FIVE))
        (out / "whole").replace(out / "all.jsonl")
        with pytest.raises(ProblemError, match="is being written"):
            folder.check_whole("all.jsonl", file)
