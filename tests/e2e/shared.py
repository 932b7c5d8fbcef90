"""What all tests on the cluster share: one release, and whoever reads along from its first moment to the judgement."""

from dataclasses import dataclass
from typing import Self

import pytest

from tests.cluster import Cluster
from tests.e2e.canary import Collector
from tests.e2e.release import Release
from tests.e2e.watcher import Watcher


@dataclass
class Shared:
    """The release; and, in the process that installed it, what reads along on the whole cluster."""

    release: Release
    statuses: Watcher | None = None
    canaries: Collector | None = None

    @classmethod
    def installed(cls, cluster: Cluster) -> Self:
        """Install the release, and begin to read along."""
        release = Release(cluster)
        release.install()
        return cls(release, Watcher(cluster), Collector(cluster).__enter__())

    @classmethod
    def found(cls, cluster: Cluster) -> Self:
        """Use what another process installed, and which reads along there."""
        return cls(Release(cluster))

    def close(self) -> None:
        """Stop reading along; the release stays."""
        if self.canaries is not None:
            self.canaries.close()
        if self.statuses is not None:
            self.statuses.close()
        self.release.close()
        self.statuses = self.canaries = None


KEY = pytest.StashKey[Shared]()
"""Where a run keeps what it installed before its first test asked."""
