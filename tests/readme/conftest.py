"""The examples are made for namespace default, and leave nothing there."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.cluster.paths import REPOSITORY
from tests.e2e.conftest import Tenant, make_tenant
from tests.e2e.kube import Kube
from tests.e2e.release import Release

EXAMPLES = sorted((REPOSITORY / "examples").glob("*.yaml"))
DEFAULT_TIMES = {"validating_seconds": 0.2, "in_progress_seconds": 0.5, "finalizing_seconds": 0.2}


@pytest.fixture
def default(release: Release) -> Iterator[Kube]:
    """Namespace default, in which the objects of the examples are removed before and after."""
    kube = Kube(release.cluster, "default")
    _clear(kube)
    yield kube
    release.instance("default", **DEFAULT_TIMES)
    _clear(kube)


@pytest.fixture
def tenant(release: Release) -> Iterator[Tenant]:
    """A namespace for one test."""
    made = make_tenant(release)
    yield made
    made.kube.run("delete", "namespace", made.kube.namespace, "--wait=false")


def _clear(kube: Kube) -> None:
    # Not only the examples' own: a test makes jobs like them.
    kube.run("delete", "batchjobs", "--all", "--timeout=60s")
    for path in EXAMPLES:
        kube.run("delete", "-f", str(path), "--ignore-not-found", "--timeout=60s")
    # Results outlive their jobs.
    kube.run("delete", "secrets,configmaps", "-l", "app.kubernetes.io/managed-by=llmbatch", "--timeout=60s")


def documents(path: Path) -> list[dict[str, object]]:
    """Read a file of manifests."""
    return [document for document in yaml.safe_load_all(path.read_text(encoding="utf-8")) if document]
