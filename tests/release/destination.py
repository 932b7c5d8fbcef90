"""Where a release goes: `host/namespace` of an OCI registry."""

import ipaddress
import re
from dataclasses import dataclass

from tests.cluster import ClusterError

_WANTED = re.compile(r"(?P<host>localhost|[a-z0-9-]+(\.[a-z0-9-]+)+|\[[0-9a-f:]+\])(?P<port>:\d+)?(/[a-z0-9._-]+)+")


@dataclass(frozen=True)
class Destination:
    """A namespace of a registry."""

    prefix: str
    plain_http: bool

    @classmethod
    def of(cls, text: str) -> "Destination":
        """Read what a person wrote."""
        if not _WANTED.fullmatch(text):
            raise ClusterError(f"REGISTRY is {text!r}: give a host and a namespace, as in registry.example.com/team")
        return cls(text, on_loopback(text))

    def image(self, name: str) -> str:
        """Name an image there, without tag."""
        return f"{self.prefix}/{name}"

    @property
    def charts(self) -> str:
        """Where charts go; apart from the images, since the chart has the name of one."""
        return f"oci://{self.prefix}/charts"


def on_loopback(reference: str) -> bool:
    """Tell whether a reference leads to this machine: there, and only there, registries are asked by plain HTTP."""
    host = re.sub(r":\d+$", "", reference.partition("/")[0]).strip("[]")
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
