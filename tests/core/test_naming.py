"""Names that can be made again from what is known."""

import re

from hypothesis import given
from hypothesis import strategies as st

from llmbatch.core import naming
from llmbatch.core.plan import CollectPlan, UploadPlan
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


def test_a_batch_tells_whose_it_is() -> None:
    assert naming.upload_filename("u", 0, 2) == "u-0-2.jsonl"
    metadata = naming.batch_metadata("u", 0, 2, {"team": "a", "llmbatch_uid": "forged"})
    assert metadata == {"team": "a", "llmbatch_uid": "u", "llmbatch_part": "0", "llmbatch_attempt": "2"}
