"""What the rest of the tests see of a cluster."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Kind = Literal["existing", "kind", "embedded"]


@dataclass(frozen=True)
class Tools:
    """The programs that tests call, by path."""

    kubectl: Path
    helm: Path
    kubeconform: Path
    promtool: Path
    prometheus: Path

    def path(self) -> str:
        """PATH with these programs first."""
        folders = dict.fromkeys(str(tool.parent) for tool in (self.kubectl, self.helm, self.kubeconform, self.promtool))
        return os.pathsep.join([*folders, os.environ.get("PATH", "/usr/bin:/bin")])


@dataclass(frozen=True)
class Cluster:
    """A cluster that is up."""

    kind: Kind
    kubeconfig: Path
    tools: Tools
    operator_image: str
    emulator_image: str

    def env(self) -> dict[str, str]:
        """Environment for kubectl, helm and clients of this cluster."""
        return {**os.environ, "KUBECONFIG": str(self.kubeconfig), "PATH": self.tools.path()}

    def restart(self, component: str) -> None:
        """Kill one part of the embedded cluster with SIGKILL and start it again."""
        if self.kind != "embedded":
            raise NotImplementedError(f"only the embedded cluster's parts can be restarted, and this is {self.kind}")
        from tests.cluster import embedded  # noqa: PLC0415  # embedded builds Clusters, so it imports this module

        embedded.restart(component)
