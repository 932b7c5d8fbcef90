"""Our own reading of kstatus's rules, by which every status in the fast tests is judged, is that of Flux's library; and
Argo CD's health by our Lua never says anything else."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.gitops import judge
from tests.support import kstatus

pytestmark = [pytest.mark.cluster, pytest.mark.gitops]  # no cluster; but what is built is there when those run

Json = dict[str, object]

HEALTH = {"Current": "Healthy", "Failed": "Degraded", "InProgress": "Progressing", "Terminating": "Progressing"}
"""What Argo CD is to say of what kstatus says."""


@st.composite
def objects(draw: st.DrawFn) -> Json:
    """Make a BatchJob with any conditions of any generation."""
    kinds = draw(st.lists(st.sampled_from(("Ready", "Reconciling", "Stalled", "Complete", "Failed")), unique=True))
    conditions = [
        {"type": kind, "status": draw(st.sampled_from(("True", "False", "Unknown"))), "reason": "R", "message": "m"}
        for kind in kinds
    ]
    metadata = {"name": "job", "namespace": "default", "generation": draw(st.integers(1, 3))}
    if draw(st.booleans()):
        metadata["deletionTimestamp"] = "2026-11-02T08:00:00Z"
    status = {"observedGeneration": draw(st.integers(-1, 3)), "conditions": conditions}
    return {"apiVersion": "llmbatch.io/v1alpha1", "kind": "BatchJob", "metadata": metadata, "status": status}


@settings(max_examples=20)
@given(st.lists(objects(), min_size=50, max_size=200))
def test_our_reading_of_kstatus_is_that_of_fluxs_library(made: list[Json]) -> None:
    assert [kstatus.computed(obj) for obj in made] == judge.kstatus(made)
