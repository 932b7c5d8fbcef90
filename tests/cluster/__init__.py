"""A real Kubernetes for tests and the demo: the one at hand, kind, or our own.

cluster = up()
build_images(cluster)
subprocess.run(["kubectl", "get", "nodes"], env=cluster.env(), check=True)
"""

from tests.cluster.leftovers import traces
from tests.cluster.lifecycle import build_images, down, find, up
from tests.cluster.model import Cluster, Tools
from tests.cluster.shell import ClusterError
from tests.cluster.tools import ensure_tools

__all__ = ["Cluster", "ClusterError", "Tools", "build_images", "down", "ensure_tools", "find", "traces", "up"]
