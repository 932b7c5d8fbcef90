"""A short campaign; `make chaos KILLS=500` is a long one."""

import os
import random

import pytest

from tests.chaos.campaign import Campaign
from tests.e2e.release import Release

pytestmark = [pytest.mark.cluster, pytest.mark.alone]
KILLS = 30


@pytest.mark.timeout(1200)
def test_nothing_is_doubled_lost_stuck_or_left_by_thirty_kills(
    release: Release, capsys: pytest.CaptureFixture[str]
) -> None:
    seed = int(os.environ.get("LLMBATCH_CHAOS_SEED", random.randrange(10**6)))  # noqa: S311 - no secret
    campaign = Campaign(release, kills=KILLS, seed=seed)
    verdict = campaign.run()
    with capsys.disabled():
        print(f"\n{campaign.table(verdict)}", flush=True)
    release.install()
    assert verdict.complaints == [], f"seed {seed}"
    assert sum(campaign.kills.values()) >= KILLS
    campaign.clean_up()
