"""What the tests with real GitOps controllers share."""

from collections.abc import Iterator

import pytest

from tests.cluster import Cluster
from tests.e2e.conftest import Tenant, tenant_of
from tests.e2e.kube import Kube
from tests.e2e.release import Release
from tests.gitops import controllers
from tests.gitops.flux import Flux
from tests.gitops.git import GitServer, Repository
from tests.release.served import Registry


@pytest.fixture(scope="session")
def git(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitServer]:
    """A Git server."""
    with GitServer(tmp_path_factory.mktemp("git")) as server:
        yield server


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry, for sources that are artifacts."""
    with Registry(tmp_path_factory.mktemp("registry")) as served:
        yield served


@pytest.fixture
def tenant(release: Release) -> Iterator[Tenant]:
    """A namespace for one test, with a gateway."""
    with tenant_of(release) as made:
        yield made


@pytest.fixture
def repository(git: GitServer, tenant: Tenant) -> Repository:
    """A repository of one test's own."""
    return git.repository(tenant.kube.namespace)


@pytest.fixture(scope="session")
def flux(cluster: Cluster) -> type[Flux]:
    """Flux's controllers, at work."""
    controllers.flux(cluster)
    return Flux


@pytest.fixture(scope="session")
def argo_cd(cluster: Cluster) -> Kube:
    """Argo CD's controllers, at work; the namespace of their Applications."""
    controllers.argo_cd(cluster)
    return Kube(cluster, controllers.ARGO_CD)
