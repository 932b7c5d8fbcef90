"""How a gateway is reached, as a plan says it."""

from llmbatch.api.base import Model


class Setting(Model):
    """A header or query parameter: its value, or the environment variable that holds it."""

    name: str
    value: str | None = None
    variable: str | None = None


class Connection(Model):
    """How the gateway is reached. Files are paths in the container; headers and query hold no credential."""

    url: str
    files_path: str
    batches_path: str
    headers: list[Setting] = []
    query: list[Setting] = []
    ca_file: str | None = None
    certificate_file: str | None = None
    key_file: str | None = None
    authorities: str | None = None
    """PEM certificates that are trusted besides the system's, unless ca_file names others."""
    server_name: str | None = None
    """The name that the gateway's certificate is for, when it is not that of the url."""
    insecure_skip_verify: bool = False
    connect_seconds: int = 10
    request_seconds: int = 60
    transfer_seconds: int = 900
