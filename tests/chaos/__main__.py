"""`make chaos KILLS=500 SEED=1`: a random campaign on the real cluster, and a table of what it came to."""

import argparse
import random
import sys

import tests.cluster
from tests.chaos.campaign import Campaign
from tests.e2e.release import Release


def main() -> int:
    """Run a campaign; 1 when anything was doubled, lost, stuck, wrong or left."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--kills", type=int, default=100, help="processes to kill")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="of the choices; printed")  # noqa: S311 - no secret
    parser.add_argument(
        "--quota", type=int, default=0, help="tokens that the provider has enqueued at one time (0: any)"
    )
    given = parser.parse_args()
    cluster = tests.cluster.up()
    tests.cluster.build_images(cluster)
    release = Release(cluster)
    release.install()
    try:
        campaign = Campaign(release, kills=given.kills, seed=given.seed, quota=given.quota, say=_say)
        verdict = campaign.run()
        print(campaign.table(verdict), flush=True)
        print("\n".join(verdict.complaints[:50]), flush=True)
        if not verdict.complaints:
            campaign.clean_up()
        return 1 if verdict.complaints else 0
    finally:
        release.close()


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
