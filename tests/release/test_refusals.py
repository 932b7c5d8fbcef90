"""What is never pushed: what can't be verified, what can't be built again, and what may be there already."""

from pathlib import Path

import pytest

from tests.cluster import ClusterError
from tests.release import chart
from tests.release.destination import Destination
from tests.release.release import release

NOBODY = "127.0.0.1:1/team"
"""Where no registry answers."""


def test_a_registry_that_can_not_be_asked_is_not_taken_for_one_without_the_version() -> None:
    with pytest.raises(ClusterError, match="can't be told"):
        chart.is_there(Destination.of(NOBODY), "1.2.3")


def test_a_release_without_key_and_base_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SIGN_KEY", raising=False)
    with pytest.raises(ClusterError, match="needs SIGN_KEY and BASE"):
        release(NOBODY, snapshot=False, base="", output=tmp_path)
