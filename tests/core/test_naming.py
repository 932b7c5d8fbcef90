"""Names that can be made again from what is known."""

import base64
import re
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmbatch.transfer.pure import naming
from llmbatch.transfer.pure.plan import CollectPlan, UploadPlan, read, written
from tests.support import build

NAMES = st.from_regex(r"[a-z0-9]([-a-z0-9.]{0,250}[a-z0-9])?", fullmatch=True)
PLANS = st.sampled_from([build.upload_plan(), build.collect_plan()])


@given(name=NAMES, plan=PLANS)
def test_a_jobs_name_is_a_label_of_at_most_63_characters(name: str, plan: object) -> None:
    made = naming.transfer_job_name(name, build.UID, plan)  # type: ignore[arg-type]
    assert len(made) <= 63
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", made)
    assert made == naming.transfer_job_name(name, build.UID, plan)  # type: ignore[arg-type]


def test_a_jobs_name_differs_by_plan_and_owner() -> None:
    plans: list[UploadPlan | CollectPlan] = [
        build.upload_plan(),
        build.upload_plan(filename="2"),
        build.upload_plan(connection=build.connection(url="https://other")),
        build.collect_plan(),
        build.collect_plan(output_path="b"),
    ]
    made = {naming.transfer_job_name("job", uid, plan) for plan in plans for uid in (build.UID, "other")}
    assert len(made) == 10


@pytest.mark.parametrize(
    ("plan", "changed"),
    [
        (build.upload_plan(), build.upload_plan(look=True)),
        (build.collect_plan(), build.collect_plan(patient=True, left_out=3, accept_missing=True, model="m")),
        (build.collect_plan(), build.collect_plan(connection=build.connection(transfer_seconds=1))),
    ],
)
def test_what_may_change_while_a_job_is_at_work_gives_it_no_other_name(
    plan: UploadPlan | CollectPlan, changed: UploadPlan | CollectPlan
) -> None:
    assert naming.transfer_job_name("job", build.UID, plan) == naming.transfer_job_name("job", build.UID, changed)


def test_a_batch_tells_whose_it_is() -> None:
    assert naming.upload_filename("u", "0", 2) == "u-0-2.jsonl"
    metadata = naming.batch_metadata("u", "0", 2, {"team": "a", "llmbatch_uid": "forged"})
    assert metadata == {"team": "a", "llmbatch_uid": "u", "llmbatch_part": "0", "llmbatch_attempt": "2"}


def test_a_plan_that_somebody_has_forged_is_inflated_no_further_than_one_of_ours_can_be() -> None:
    bomb = base64.b64encode(zlib.compress(bytes(64 * 1024 * 1024), 9)).decode()
    tracemalloc.start()
    try:
        assert read(f"zlib:{bomb}") == ""
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 16 * 1024 * 1024


def test_the_longest_plan_is_read_back() -> None:
    long = build.upload_plan().model_copy(update={"model": "m" * 1_000_000})
    assert len(written(long)) < 128 * 1024
    assert UploadPlan.model_validate_json(read(written(long))) == long
