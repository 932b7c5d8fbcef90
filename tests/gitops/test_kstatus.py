"""Our own reading of kstatus's rules, by which every status in the fast tests is judged, is that of Flux's library; and
Argo CD's health by our Lua never says anything else."""

from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest

from tests.gitops import judge
from tests.support import kstatus

pytestmark = [pytest.mark.cluster, pytest.mark.gitops]  # no cluster; but what is built is there when those run

Json = dict[str, Any]

HEALTH = {"Current": "Healthy", "Failed": "Degraded", "InProgress": "Progressing", "Terminating": "Progressing"}
"""What Argo CD is to say of what kstatus says."""


KINDS = ("Ready", "Reconciling", "Stalled", "Complete", "Failed")


def objects() -> Iterator[Json]:
    """Make a BatchJob of each combination of conditions, generations and deletion."""
    said = product((None, "True", "False", "Unknown"), repeat=len(KINDS))
    for statuses, (generation, observed), deleted in product(said, ((1, -1), (2, 1), (2, 2)), (False, True)):
        metadata: Json = {"name": "job", "namespace": "default", "generation": generation}
        if deleted:
            metadata["deletionTimestamp"] = "2026-11-02T08:00:00Z"
        conditions = [
            {"type": kind, "status": status, "reason": "R", "message": "m"}
            for kind, status in zip(KINDS, statuses, strict=True)
            if status is not None
        ]
        status = {"observedGeneration": observed, "conditions": conditions}
        yield {"apiVersion": "llmbatch.io/v1alpha1", "kind": "BatchJob", "metadata": metadata, "status": status}


def test_our_reading_of_kstatus_is_that_of_fluxs_library() -> None:
    made = list(objects())
    wrong = [
        (obj["metadata"], obj["status"], ours, theirs)
        for obj, ours, theirs in zip(made, map(kstatus.computed, made), judge.kstatus(made), strict=True)
        if ours != theirs
    ]
    assert wrong == [], f"{len(wrong)} of {len(made)}, the first: {wrong[:1]}"


@pytest.mark.parametrize("kind", ["BatchJob", "BatchGateway"])
def test_argo_cds_health_of_whatever_says_whether_it_is_ready_is_what_kstatus_makes_of_it(kind: str) -> None:
    made = [
        {**obj, "kind": kind}
        for obj in objects()
        if any(item["type"] == "Ready" for item in obj["status"]["conditions"])
    ]
    means = [HEALTH[meaning] for meaning in map(kstatus.computed, made)]
    said = [item["status"] for item in judge.health(kind, made)]
    wrong = [found for found in zip(made, said, means, strict=True) if found[1] != found[2]]
    assert wrong == [], f"{len(wrong)} of {len(made)}, the first: {wrong[:1]}"
