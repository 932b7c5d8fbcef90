"""TLS contexts: whom to trust, and under which name a gateway is to show itself."""

import hashlib
import re
import socket
import ssl
from pathlib import Path

import certifi

MOST_BYTES = 64 * 1024
"""Of an installation's own authorities: they go to transfer pods in an environment variable."""
PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


class NamedContext(ssl.SSLContext):
    """Asks for, and checks, another name than the one that was connected to, whatever lies between: also a proxy's tunnel."""

    server_name: str | None = None

    def wrap_socket(  # noqa: PLR0917 - as the class above has it
        self,
        sock: socket.socket,
        server_side: bool = False,
        do_handshake_on_connect: bool = True,
        suppress_ragged_eofs: bool = True,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLSocket:
        """Begin TLS on a socket."""
        name = self.server_name or server_hostname
        return super().wrap_socket(
            sock, server_side, do_handshake_on_connect, suppress_ragged_eofs, server_hostname=name, session=session
        )

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """Begin TLS on buffers, as asynchronous calls do."""
        name = self.server_name or server_hostname
        return super().wrap_bio(incoming, outgoing, server_side, server_hostname=name, session=session)


def context(server_name: str | None) -> NamedContext:
    """Make a context that checks certificates and trusts nobody yet."""
    made = NamedContext(ssl.PROTOCOL_TLS_CLIENT)
    made.server_name = server_name
    return made


def trust_the_systems(made: ssl.SSLContext) -> None:
    """Trust the system's authorities; a minimal image has none of its own, and those of certifi stand in."""
    paths = ssl.get_default_verify_paths()
    bare = paths.cafile is None and not (paths.capath and any(Path(paths.capath).iterdir()))
    if bare:
        made.load_verify_locations(cafile=certifi.where())
    else:
        made.load_default_certs(ssl.Purpose.SERVER_AUTH)


class AuthoritiesError(Exception):
    """The installation's own authorities can't be used."""


class Authorities:
    """An installation's own authorities, trusted besides the system's; read anew whenever the file has changed."""

    def __init__(self, path: str) -> None:
        """Take the file's path; "": there is none."""
        self._path, self._digest, self._found = path, "", ""

    def read(self) -> str | None:
        """Give those that the system does not know, as PEM; None: none.

        Raises:
            AuthoritiesError: The file can't be used; the message says why, and which chart value it is from.
        """
        if not self._path:
            return None
        try:
            text = Path(self._path).read_text("ascii", "replace")
            digest = hashlib.sha256(text.encode()).hexdigest()
            if digest != self._digest:
                self._found, self._digest = _unknown(text), digest
        except (OSError, ValueError) as error:
            what = error.strerror if isinstance(error, OSError) and error.strerror else "not PEM certificates"
            raise AuthoritiesError(
                f"the installation's CA bundle (chart value caBundle) can't be used: {what}"
            ) from None
        return self._found or None


def _unknown(text: str) -> str:
    """Leave out what the system trusts anyway: a company's bundle often holds all public authorities too."""
    blocks = PEM.findall(text)
    if not blocks:
        raise ValueError("no certificate")
    known = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trust_the_systems(known)
    public = set(known.get_ca_certs(binary_form=True))
    own: dict[bytes, str] = {}
    for block in blocks:
        der = ssl.PEM_cert_to_DER_cert(block)
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=der)
        if der not in public:
            own[der] = ssl.DER_cert_to_PEM_cert(der)
    found = "".join(own.values())
    if len(found) > MOST_BYTES:
        size = f"{len(found)} bytes of authorities that are not public ones, more than {MOST_BYTES}"
        raise AuthoritiesError(f"the installation's CA bundle (chart value caBundle) can't be used: it has {size}")
    return found
