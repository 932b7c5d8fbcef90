"""make demo: bring everything up, run the how-to's five requests, show what comes of them."""

import base64
import json
import threading
import time
from pathlib import Path

import tests.cluster
from tests.cluster import ClusterError, images
from tests.cluster.paths import REPOSITORY
from tests.cluster.shell import step
from tests.demo.results import readable
from tests.demo.target import CHART, NAMESPACE, RELEASE, Target

GATEWAY, JOB = (REPOSITORY / "examples" / name for name in ("gateway-emulator.yaml", "batchjob-configmap.yaml"))
NAME = "product-descriptions"
LONGEST_SECONDS = 180
VALUES = Path(__file__).with_name("values.yaml")


def up() -> None:
    """Run the demo; again, if it ran before."""
    began = time.monotonic()
    cluster = tests.cluster.up()
    target = Target(cluster)
    if not target.ours:
        images.need_names()
    target.mark((GATEWAY, JOB))
    tests.cluster.build_images(cluster)
    _install(target)
    target.remove(JOB)
    _run(target)
    _say_what_next(target, time.monotonic() - began)


def _install(target: Target) -> None:
    with step(f"Helm: installing {RELEASE} in namespace {NAMESPACE}", about="20 s"):
        images = {"image": target.cluster.operator_image, "emulator.image": target.cluster.emulator_image}
        named = [
            f"--set={key}.{part}={value}"
            for key, image in images.items()
            for part, value in zip(("repository", "tag"), image.rsplit(":", 1), strict=True)
        ]
        target.helm("upgrade", "--install", RELEASE, CHART, "--create-namespace", f"--values={VALUES}", *named)
        # The images' tag stays the same while their content changes: pods of earlier sources go. The emulator first, so
        # that the operator finds it there.
        for deployment in (f"deployment/{RELEASE}-emulator", f"deployment/{RELEASE}"):
            target.kubectl("rollout", "restart", deployment, "--namespace", NAMESPACE)
            target.kubectl(
                "rollout", "status", deployment, "--namespace", NAMESPACE, "--timeout=120s",
                remedy=f"What keeps it: kubectl describe pods --namespace {NAMESPACE}",
            )  # fmt: skip


def _run(target: Target) -> None:
    for path in (GATEWAY, JOB):
        _show(f"kubectl apply -f {path.relative_to(REPOSITORY)}")
        print(target.kubectl("apply", "-f", str(path)), end="", flush=True)
    _show(f"kubectl get batchjob {NAME} --watch")
    _watch(target)
    _show(f"kubectl get secret {NAME} -o jsonpath='{{.data.results\\.jsonl}}' | base64 -d")
    stored = target.kubectl("get", "secret", NAME, "--namespace", "default", "-o", "json")
    print(readable(base64.b64decode(json.loads(stored)["data"]["results.jsonl"]).decode()), flush=True)


def _watch(target: Target) -> None:
    """Show the job until it ends; one that doesn't, or fails, ends the demo loudly."""
    watch = target.popen("get", "batchjob", NAME, "--namespace", "default", "--watch")
    limit = threading.Timer(LONGEST_SECONDS, watch.terminate)
    limit.start()
    phase = ""
    try:
        assert watch.stdout is not None
        for line in watch.stdout:
            print(line, end="", flush=True)
            phase = next((word for word in line.split()[1:2] if word in {"Complete", "Failed", "Cancelled"}), "")
            if phase:
                break
    finally:
        limit.cancel()
        watch.terminate()
        watch.wait(10)
    if phase != "Complete":
        told = target.kubectl("describe", "batchjob", NAME, "--namespace", "default")
        raise ClusterError(f"The batch did not complete within {LONGEST_SECONDS} s:\n{told}")


def _say_what_next(target: Target, seconds: float) -> None:
    tools = target.cluster.tools.kubectl.parent
    print(f"""
Done in {seconds:.0f} s. The cluster stays up; what next:

  export KUBECONFIG={target.cluster.kubeconfig}
  export PATH={tools}:$PATH
  kubectl apply -f examples/batchjob-pvc.yaml      # the same five requests from a volume; examples/README.md has more
  kubectl get batchjobs --watch
  kubectl describe batchjob {NAME}
  make demo-down                                   # removes everything""")


def _show(command: str) -> None:
    print(f"\n$ {command}", flush=True)
