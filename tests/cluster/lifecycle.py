"""Which cluster to use, and bringing it up and down."""

import contextlib
import os
from pathlib import Path

from tests.cluster import components, embedded, images, kind, processes, tools
from tests.cluster.model import Cluster, Kind
from tests.cluster.paths import alone
from tests.cluster.shell import ClusterError, say, succeeds


def choose() -> Kind:
    """Pick the cluster: the one that's there, else kind, else our own."""
    named = os.environ.get("KUBECONFIG", "")
    # Whoever took KUBECONFIG from our own `env()` means the cluster that it belongs to.
    if named == str(components.KUBECONFIG):
        named = ""
    elif named and named != str(kind.KUBECONFIG):
        if succeeds(
            [tools.ensure_tools().kubectl, "get", "--raw=/readyz", "--request-timeout=10s"], timeout_seconds=15
        ):
            return "existing"
        say(f"KUBECONFIG is set to {named}, but no cluster answers there.")
    if kind.possible():
        return "kind"
    if obstacle := embedded.why_impossible():
        raise ClusterError(
            "No cluster to use: set KUBECONFIG to one that answers, or start Docker and install kind, "
            f"or run this where the embedded cluster can run ({obstacle})."
        )
    return "embedded"


def find() -> Cluster | None:
    """Return the cluster if it is up, without a word."""
    chosen = choose()
    return _cluster(chosen) if _answers(chosen) else None


def up(*, fresh: bool = False) -> Cluster:
    """Return a cluster that is up; bring one up if none is."""
    chosen = choose()
    with _one_at_a_time():
        if chosen == "existing":
            say(f"Cluster: the one that KUBECONFIG names, {os.environ['KUBECONFIG']}")
        elif chosen == "kind":
            say("Cluster: kind, in Docker")
            kind.up(fresh=fresh)
        else:
            say(f"Cluster: embedded Kubernetes {tools.kubernetes()} (no KUBECONFIG, no Docker with kind)")
            embedded.up(fresh=fresh)
        return _cluster(chosen)


def down() -> None:
    """Take down what `up` made; a cluster that was there before stays."""
    chosen = choose()
    with _one_at_a_time():
        if chosen != "embedded":
            # What tests have started beside it; the embedded cluster may be up as well.
            processes.end_others({component.name for component in components.components(Path(), Path())})
        if chosen == "existing":
            say("Cluster: the one that KUBECONFIG names is not ours to take down")
        elif chosen == "kind":
            kind.down()
        else:
            embedded.down()


def build_images(cluster: Cluster) -> None:
    """Make the cluster hold images of the sources as they are now."""
    with _one_at_a_time():
        images.build_images(cluster)


def _answers(chosen: Kind) -> bool:
    return chosen == "existing" or (kind.is_up() if chosen == "kind" else embedded.is_up())


def _cluster(chosen: Kind) -> Cluster:
    kubeconfigs = {"kind": kind.KUBECONFIG, "embedded": components.KUBECONFIG}
    return Cluster(
        kind=chosen,
        kubeconfig=kubeconfigs.get(chosen) or Path(os.environ["KUBECONFIG"].split(os.pathsep)[0]),
        tools=tools.ensure_tools(own=chosen == "embedded"),
        operator_image=images.OPERATOR,
        emulator_image=images.EMULATOR,
    )


def _one_at_a_time() -> contextlib.AbstractContextManager[None]:
    return alone("cluster", "another `up`, `down` or `image`")
