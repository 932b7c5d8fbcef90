"""Fixtures that several folders share: the real cluster, and the operator installed on it by Helm."""

import contextlib
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

import tests.cluster
from tests.cluster import Cluster, ClusterError, tools
from tests.e2e import shared
from tests.e2e.canary import Collector
from tests.e2e.release import Release
from tests.e2e.shared import Shared
from tests.e2e.watcher import Watcher
from tests.suite import relay
from tests.suite.progress import shown

# How fast inputs are made says more about what else runs at the time than about the test.
settings.register_profile("beside others", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("beside others")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build Helm 4 if a test that is to run needs it: here, where its progress is seen and no test's time-out runs."""
    if session.config.option.collectonly or not any(item.get_closest_marker("helm4") for item in session.items):
        return
    # If it can't be built, the tests that need it fail with the reason.
    with shown(session.config), contextlib.suppress(ClusterError):
        tools.helm4()


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    """A real cluster with this checkout's images."""
    if relay.is_handed_over() and (there := tests.cluster.find()):
        return there
    found = tests.cluster.up()
    tests.cluster.build_images(found)
    return found


@pytest.fixture(scope="session")
def shared_by_all(cluster: Cluster, pytestconfig: pytest.Config) -> Iterator[Shared]:
    """The release, and whoever reads along: made once for all tests on the cluster, in whatever process they run."""
    if relay.is_handed_over():
        found = Shared.found(cluster)
    else:
        found = pytestconfig.stash.get(shared.KEY, None) or Shared.installed(cluster)
    yield found
    found.close()


@pytest.fixture(scope="session")
def release(shared_by_all: Shared) -> Release:
    """The operator and the emulator, installed by Helm and ready."""
    return shared_by_all.release


@pytest.fixture
def own_release(release: Release) -> Iterator[Release]:
    """The release, put back as the other tests want it."""
    yield release
    release.install()


@pytest.fixture(scope="session")
def canaries(shared_by_all: Shared) -> Collector:
    """Whatever the operator told anybody, searched for credentials and prompts from the first test on."""
    assert shared_by_all.canaries is not None, "what was told is judged in the process that installed the release"
    return shared_by_all.canaries


@pytest.fixture(scope="session")
def statuses(shared_by_all: Shared) -> Watcher:
    """Every state of every BatchJob that the API server told of, from the first test on."""
    assert shared_by_all.statuses is not None, "statuses are judged in the process that installed the release"
    return shared_by_all.statuses
