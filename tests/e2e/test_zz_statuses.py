"""Judged last: every status that any test before produced."""

import pytest

from tests.e2e.watcher import Watcher
from tests.gitops import judge
from tests.gitops.test_kstatus import HEALTH
from tests.support import kstatus
from tests.support.kstatus import check_status


@pytest.mark.judges
def test_every_status_that_any_test_produced_keeps_the_rules(statuses: Watcher) -> None:
    seen = [found for found in statuses.seen() if found.get("status")]
    assert seen, "no test before this one made a BatchJob"
    for found in seen:
        check_status(found)


@pytest.mark.gitops
@pytest.mark.judges
def test_fluxs_library_and_argo_cd_make_of_every_status_what_it_means(statuses: Watcher) -> None:
    seen = [found for found in statuses.seen() if found.get("status")]
    means = [kstatus.computed(found) for found in seen]
    assert judge.kstatus(seen) == means
    assert [said["status"] for said in judge.health("BatchJob", seen)] == [HEALTH[meaning] for meaning in means]
