"""`kubectl llmbatch` as a user calls it: found by kubectl in the PATH, on the real API server, with pods beside real volumes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster.paths import REPOSITORY
from tests.e2e import objects
from tests.e2e.conftest import Tenant

SCRIPT = "#!{python}\nimport sys\nfrom llmbatch.cli.entry import main\nsys.exit(main())\n"


class Plugin:
    """kubectl with the plugin in its PATH, in the tenant's namespace."""

    def __init__(self, tenant: Tenant, folder: Path) -> None:
        """Put the console script there."""
        script = folder / "bin" / "kubectl-llmbatch"
        script.parent.mkdir()
        script.write_text(SCRIPT.format(python=sys.executable))
        script.chmod(0o755)
        cluster, self._namespace = tenant.kube.cluster, tenant.kube.namespace
        self._kubectl = str(cluster.tools.kubectl)
        env = cluster.env()
        self._env = {
            **env,
            "PATH": f"{script.parent}{os.pathsep}{env['PATH']}",
            "PYTHONPATH": str(REPOSITORY / "operator"),
        }

    def __call__(self, *arguments: str, code: int = 0) -> bytes:
        """Run a command, which is to end with `code`; answers its standard output."""
        ran = subprocess.run(
            [self._kubectl, "llmbatch", *arguments, "-n", self._namespace],
            env=self._env, capture_output=True, timeout=180, check=False,
        )  # fmt: skip
        assert ran.returncode == code, (arguments, ran.stdout.decode(errors="replace"), ran.stderr.decode())
        return ran.stdout


@pytest.fixture
def plugin(tenant: Tenant, tmp_path: Path) -> Plugin:
    return Plugin(tenant, tmp_path)


def test_from_a_file_to_results_in_a_secret_and_once_more(tenant: Tenant, plugin: Plugin, tmp_path: Path) -> None:
    file = tmp_path / "prompts.jsonl"
    file.write_text(objects.requests("a", "b--status-400", "c"))
    tenant.kube.run("wait", "--for=condition=Ready", "bgw/kong", "--timeout=60s")
    doctor = plugin("doctor").decode()
    assert "no problems in namespace" in doctor, doctor
    assert b", 1 part" in plugin("validate", str(file), "--gateway", "kong")

    # What is written for Git is what the API server takes.
    tenant.kube.run(
        "apply", "--dry-run=server", "-f", "-", stdin=plugin("submit", str(file), "--gateway", "kong", "--dry-run")
    )
    plugin("submit", str(file), "--gateway", "kong")
    watched = plugin("watch", "prompts", "--interval", "0.5").decode()
    assert watched.splitlines()[-1].startswith("prompts: Complete: CompletedWithFailures")
    stored = objects.stored(tenant.kube, "secret", "prompts-results", "results.jsonl")
    assert plugin("results", "prompts").decode() == stored
    errors = objects.stored(tenant.kube, "secret", "prompts-results", "results.jsonl.errors")
    assert plugin("errors", "prompts").decode() == errors

    (name,) = [word for word in plugin("retry", "prompts").decode().split() if word.startswith("batchjob")]
    again = name.partition("/")[2]
    plugin("watch", again, "--interval", "0.5")
    assert plugin("results", again).count(b"\n") == 2
    assert objects.stored(tenant.kube, "secret", "prompts-results", "results.jsonl") == stored
    assert tenant.creates() == 2


def test_a_job_that_fails_and_one_that_is_refused(tenant: Tenant, plugin: Plugin, tmp_path: Path) -> None:
    file = tmp_path / "prompts.jsonl"
    file.write_text(objects.requests("a--status-500"))
    plugin("submit", str(file), "--gateway", "kong")
    plugin("watch", "prompts", "--interval", "0.5", code=1)
    plugin("submit", str(file), "--gateway", "kong", code=2)
    # A rule of the API server's own, which no check here knows.
    own = ["--name", "other", "--output-configmap", "other-input/batch.jsonl"]
    plugin("submit", str(file), "--gateway", "kong", *own, code=2)
    assert not tenant.kube.exists("configmap", "other-input"), "nothing is made of what is refused"


def test_from_a_file_through_a_volume_byte_for_byte(tenant: Tenant, plugin: Plugin, tmp_path: Path) -> None:
    kube = tenant.kube
    volume = objects.Volume(kube, "data", tenant.release.cluster.operator_image)
    file, fetched = tmp_path / "prompts.jsonl", tmp_path / "results.jsonl"
    # Larger than a ConfigMap, and so are the results than a Secret.
    ids = [f"r{number}--large-300000" for number in range(8)]
    file.write_text(objects.requests(*ids, "bad--status-400", text="x" * 200_000))
    plugin("submit", str(file), "--gateway", "kong", code=2)
    places = ["--claim", "data/in/prompts.jsonl", "--output-claim", "data/out/results.jsonl"]
    plugin("submit", str(file), "--gateway", "kong", *places, "--copy")
    assert volume.read("in/prompts.jsonl") == file.read_text()
    plugin("watch", "prompts", "--interval", "0.5")
    plugin("results", "prompts", "-o", str(fetched))
    assert fetched.read_bytes().decode() == volume.read("out/results.jsonl")
    assert fetched.stat().st_size > 8 * 300_000
    assert plugin("errors", "prompts").decode() == volume.read("out/results.errors.jsonl")
    left = [pod["metadata"]["name"] for pod in kube.items("pods") if "deletionTimestamp" not in pod["metadata"]]
    assert not [name for name in left if name.startswith("llmbatch-volume-")], "they are deleted"


def test_whoever_may_read_jobs_alone_is_told_by_the_doctor_what_is_missing(
    tenant: Tenant, plugin: Plugin, tmp_path: Path
) -> None:
    kube = tenant.kube
    kube.run("create", "serviceaccount", "reader")
    kube.run("create", "rolebinding", "reader", "--clusterrole=view", f"--serviceaccount={kube.namespace}:reader")
    kube.run("wait", "--for=condition=Ready", "bgw/kong", "--timeout=60s")
    config = tmp_path / "kubeconfig"
    config.write_bytes(Path(kube.cluster.env()["KUBECONFIG"]).read_bytes())
    token = kube.run("create", "token", "reader").strip()
    kube.run("config", "set-credentials", "reader", f"--token={token}", f"--kubeconfig={config}")
    kube.run("config", "set-context", "--current", "--user=reader", f"--kubeconfig={config}")
    told = plugin("doctor", "--kubeconfig", str(config), code=1).decode()
    assert "unseen  operator: you may not list Deployments" in told
    assert "problem you may not create batchjobs.llmbatch.io: needed for submit and retry" in told
    assert "you may not get batchjobs" not in told, told
