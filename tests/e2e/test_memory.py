"""Other people's large objects cost the operator nothing: it reads what a job names, and keeps none of it."""

import os

import pytest

from tests.bench import memory
from tests.e2e.release import Release

SHARE = float(os.environ.get("LLMBATCH_BALLAST", "0.1"))
"""Of 700 ConfigMaps of 900 KB and 300 Secrets of 1 MB; a tenth is 93 MB, more than the operator itself has."""


@pytest.mark.alone
def test_large_objects_of_others_do_not_change_the_operators_memory(release: Release) -> None:
    weighed = memory.weigh(release, SHARE)
    assert weighed.ratio < memory.BOUND, str(weighed)
