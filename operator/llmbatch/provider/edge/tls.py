"""TLS contexts: whom to trust, and under which name a gateway is to show itself."""

import hashlib
import os
import re
import socket
import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakValueDictionary

import certifi

from llmbatch.api.reasons import Reason
from llmbatch.provider.pure.connection import Connection

MOST_BYTES = 64 * 1024
"""Of an installation's own authorities: they go to transfer pods in an environment variable."""
PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


class ConnectionInvalidError(Exception):
    """The connection can't be used as it is; the message names the reference, never a value."""

    def __init__(self, reason: Reason, message: str) -> None:
        """Say why, with CREDENTIALS_NOT_FOUND or GATEWAY_INVALID."""
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, repr=False)
class Material:
    """TLS material held in memory instead of in files; each part takes precedence over the file of its kind."""

    ca: bytes | None = None  # PEM certificates of authorities
    certificate: bytes | None = None  # PEM, with `key`
    key: bytes | None = None


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


def context_for(server_name: str | None) -> NamedContext:
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


# --- a connection's ---------------------------------------------------------------------------------------------------

_SHARED: WeakValueDictionary[tuple[str | bool | None, ...], ssl.SSLContext] = WeakValueDictionary()
"""For as long as somebody uses them."""


def of(connection: Connection, material: Material) -> ssl.SSLContext:
    """Make the context of a connection, or give one that others have too.

    Raises:
        ConnectionInvalidError: A certificate can't be used.
    """
    if connection.url.startswith("http:"):
        # Not used. Loading the system's authorities would take some megabytes and milliseconds for nothing.
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if material == Material() and connection.ca_file is None and connection.certificate_file is None:
        # Nothing of its own: a megabyte for all of them, and not for each.
        own = connection.server_name, connection.authorities, connection.insecure_skip_verify
        key = *own, *ssl.get_default_verify_paths()
        if (shared := _SHARED.get(key)) is None:
            shared = _SHARED[key] = _made(connection, material)
        return shared
    return _made(connection, material)


def _made(connection: Connection, material: Material) -> ssl.SSLContext:
    context = context_for(connection.server_name)
    _trust(context, connection, material)
    # Python 3.13 began to refuse authorities without certain extensions; private ones often lack them.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if connection.insecure_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    try:
        _present(context, connection, material)
    except OSError as error:  # ssl.SSLError is one
        raise ConnectionInvalidError(
            Reason.GATEWAY_INVALID,
            f"the client certificate can't be used ({_plain(error)}): "
            "the Secret named in spec.tls.clientCertificate needs tls.crt and tls.key that belong together",
        ) from None
    return context


def _trust(context: ssl.SSLContext, connection: Connection, material: Material) -> None:
    source = "spec.tls.caBundle must name PEM certificates"
    try:
        if material.ca is not None:
            _load(context, material.ca.decode("ascii", "replace"))
        elif connection.ca_file is not None:
            _load(context, Path(connection.ca_file).read_text("ascii", "replace"))
        else:
            trust_the_systems(context)
            if connection.authorities is not None:
                source = "the chart value caBundle must name PEM certificates"
                _load(context, connection.authorities)
    except (OSError, ValueError) as error:
        raise ConnectionInvalidError(
            Reason.GATEWAY_INVALID, f"the CA bundle can't be used ({_plain(error)}): {source}"
        ) from None


def _load(context: ssl.SSLContext, pem: str) -> None:
    # One that is empty is refused too; it must not come to mean that nobody is trusted, or everybody.
    context.load_verify_locations(cadata=pem)


def _present(context: ssl.SSLContext, connection: Connection, material: Material) -> None:
    # The empty password keeps OpenSSL from asking for one at the terminal.
    if material.certificate is not None and material.key is not None:
        # OpenSSL reads certificates from files only; the folder is the process' own and gone at once.
        with tempfile.TemporaryDirectory() as folder:
            certificate, key = Path(folder, "tls.crt"), Path(folder, "tls.key")
            certificate.write_bytes(material.certificate)
            key.touch(0o600)
            key.write_bytes(material.key)
            context.load_cert_chain(certificate, key, password="")
    elif connection.certificate_file is not None:
        context.load_cert_chain(connection.certificate_file, connection.key_file, password="")


def _plain(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return error.reason or "not PEM"
    if isinstance(error, OSError) and error.errno is not None:
        return os.strerror(error.errno)
    return "not PEM"
