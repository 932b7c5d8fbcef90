"""A release is installed from the registry it was pushed to, by nothing but its name."""

import contextlib
from collections.abc import Iterator

import pytest

from tests.cluster import Cluster, ClusterError, embedded
from tests.e2e import objects
from tests.e2e.conftest import Tenant
from tests.e2e.kube import Kube
from tests.e2e.release import Release
from tests.release.conftest import Made

pytestmark = [pytest.mark.cluster, pytest.mark.alone, pytest.mark.timeout(900)]

NAME = "llmbatch-released"
"""Of release and namespace."""


@pytest.fixture
def aside(release: Release) -> Iterator[Release]:
    """The release of all other tests, which leaves this one's namespace alone; put back as they want it."""
    try:
        release.upgrade(watchNamespaces="{default}")
        yield release
    finally:
        release.install()


@pytest.fixture
def installed(cluster: Cluster, aside: Release, made: Made) -> Iterator[Release]:
    """The pushed chart, installed beside the other with its own images.

    The node pulls them itself: containerd asks a registry on loopback by plain HTTP without being told to.
    """
    assert aside.name != NAME
    if cluster.kind != "embedded":
        pytest.skip("the nodes of this cluster don't reach a registry on this machine's loopback")
    found = Release(cluster, NAME, NAME)
    found.kube.run("create", "namespace", NAME)
    try:
        found.helm(
            "install", NAME, f"oci://{made.prefix}/charts/llmbatch", f"--version={made.version}", "--plain-http",
            "--verify", f"--keyring={made.keyring}", "--set", f"watchNamespaces={{{NAME}}}", "--set=crds.install=false",
            "--set=emulator.enabled=true", "--wait", "--timeout=120s",
        )  # fmt: skip
        yield found
        found.helm("uninstall", NAME, "--wait")
    finally:
        found.close()
        found.kube.run("delete", "namespace", NAME, "--wait=false", "--ignore-not-found")
        for image in embedded.containerd("images", "list", "-q").split():
            if image.startswith(made.prefix):
                with contextlib.suppress(ClusterError):
                    embedded.containerd("images", "remove", image)


def test_a_release_is_installed_by_its_name_and_runs_a_batch_with_the_images_that_were_pushed(
    installed: Release, made: Made
) -> None:
    kube = Kube(installed.cluster, NAME)
    digests = {
        name: made.registry.manifest(f"team/{name}", made.version)[0] for name in ("llmbatch", "llmbatch-emulator")
    }
    for pod in kube.items("pods"):
        (status,) = pod["status"]["containerStatuses"]
        name = "llmbatch-emulator" if pod["metadata"]["name"].startswith(f"{NAME}-emulator") else "llmbatch"
        assert status["imageID"].rpartition("@")[2] == digests[name]
    tenant = Tenant(installed, kube, installed.instance(NAME))
    prompts = objects.config_map("prompts", {"batch.jsonl": objects.requests("a", "b")})
    job = objects.job("job", objects.in_config_map("prompts"), objects.in_secret("out", "results"))
    kube.apply(objects.credential(), tenant.gateway(), prompts, job)
    kube.wait_for("job", "Complete")
    assert tenant.creates() == 1
    kube.delete("batchjob", "job")
