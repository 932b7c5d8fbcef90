"""make demo-down: remove what the demo made, and look whether anything is left."""

import tests.cluster
from tests.cluster import ClusterError
from tests.cluster.shell import say, step
from tests.demo.target import DEFINITIONS, NAMESPACE, RELEASE, Target
from tests.demo.up import GATEWAY, JOB


def down() -> None:
    """Take our cluster down, with all that is on it; on another's, remove the demo."""
    found = tests.cluster.find()
    if found is not None and not (target := Target(found)).ours:
        _remove(target)
        return
    # Also when none is up: one that broke off on the way has left something.
    tests.cluster.down()
    if left := tests.cluster.traces():
        raise ClusterError("The cluster left traces on this machine:\n" + "\n".join(left))
    say("The demo is gone: no process, mount, network or file of its cluster is left.")


def _remove(target: Target) -> None:
    made = target.made()
    if not made:
        raise ClusterError(f"The demo made nothing on the cluster that KUBECONFIG names, {target.cluster.kubeconfig}.")
    with step("Examples and release: removing them", about="15 s"):
        for path in (JOB, GATEWAY):
            target.remove(path)
        kept = _others(target)
        if made["definitions"] and not kept:
            # While the operator is there: it lets go of what it holds.
            target.kubectl("delete", "crd", *DEFINITIONS, "--timeout=60s")
        target.helm("uninstall", RELEASE, "--wait", "--ignore-not-found")
        target.unmark()
        if made["namespace"]:
            target.kubectl("delete", "namespace", NAMESPACE, "--timeout=90s")
    if kept:
        say(f"Kept, with the CustomResourceDefinitions, since the demo did not make them: {', '.join(kept)}")
    say("The demo is gone from this cluster.")


def _others(target: Target) -> list[str]:
    return target.kubectl("get", "batchjobs,batchgateways", "--all-namespaces", "-o", "name").split()
