"""What e2e tests share: a namespace each, with a gateway to an emulator instance of their own."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from tests.e2e import objects
from tests.e2e.kube import Json, Kube
from tests.e2e.release import Release
from tests.emulator.client import Instance


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here runs on the real cluster."""
    for item in items:
        if "/e2e/" in str(item.path):
            item.add_marker(pytest.mark.cluster)


@dataclass
class Tenant:
    """A namespace with its own emulator instance and a BatchGateway `kong` that leads to it."""

    release: Release
    kube: Kube
    kong: Instance

    @property
    def url(self) -> str:
        """The instance, as pods reach it."""
        return f"{self.release.emulator_url}/i/{self.kong.name}"

    def gateway(self, **spec: Any) -> Json:
        """Make the BatchGateway."""
        return objects.gateway("kong", self.url, **{"headers": objects.HEADERS, **spec})

    def creates(self) -> int:
        """Count the create calls that made a batch."""
        return len(self.kong.batches())


def make_tenant(release: Release, **config: Any) -> Tenant:
    """Make a namespace with the restricted pod security standard enforced, and a gateway in it."""
    name = f"t-{uuid.uuid4().hex[:8]}"
    kube = Kube(release.cluster, name)
    kube.run("create", "namespace", name)
    kube.run("label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted")
    tenant = Tenant(release, kube, release.instance(name, **config))
    kube.apply(objects.credential(), tenant.gateway())
    return tenant


@contextmanager
def tenant_of(release: Release) -> Iterator[Tenant]:
    """Have a namespace for as long as the block runs."""
    made = make_tenant(release)
    try:
        yield made
    finally:
        made.kube.run("delete", "namespace", made.kube.namespace, "--wait=false", "--ignore-not-found")


@pytest.fixture
def tenant(release: Release) -> Iterator[Tenant]:
    """A namespace for one test."""
    with tenant_of(release) as made:
        yield made
