"""Fixtures that several folders share: the real cluster, and the operator installed on it by Helm."""

from collections.abc import Iterator

import pytest

import tests.cluster
from tests.cluster import Cluster
from tests.e2e.canary import Collector
from tests.e2e.release import Release
from tests.e2e.watcher import Watcher


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    """A real cluster with this checkout's images."""
    found = tests.cluster.up()
    tests.cluster.build_images(found)
    return found


@pytest.fixture(scope="session")
def release(cluster: Cluster) -> Iterator[Release]:
    """The operator and the emulator, installed by Helm and ready."""
    found = Release(cluster)
    found.install()
    yield found
    found.close()


@pytest.fixture(scope="session")
def canaries(release: Release) -> Iterator[Collector]:
    """Whatever the operator told anybody, searched for credentials and prompts from the first test on."""
    with Collector(release.cluster) as collector:
        yield collector


@pytest.fixture(scope="session")
def statuses(release: Release) -> Iterator[Watcher]:
    """Every state of every BatchJob that the API server told of, from the first test on."""
    watcher = Watcher(release.cluster)
    yield watcher
    watcher.close()
