"""Judged last: every status that any test before produced."""

import pytest

from tests.e2e.watcher import Watcher
from tests.support.kstatus import check_status


@pytest.mark.judges
def test_every_status_that_any_test_produced_keeps_the_rules(statuses: Watcher) -> None:
    seen = [found for found in statuses.seen() if found.get("status")]
    assert seen, "no test before this one made a BatchJob"
    for found in seen:
        check_status(found)
