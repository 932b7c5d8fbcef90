"""Resolves what a BatchGateway refers to: Secrets for headers and parameters, CA bundle, client certificate."""

import hashlib
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llmbatch.api.batchgateway import BatchGatewaySpec, CABundle, SecretKeyRef
from llmbatch.api.batchjob import MAX_OBJECT_BYTES
from llmbatch.api.reasons import Reason
from llmbatch.kube.client import Cluster
from llmbatch.kube.permissions import CONFIGMAPS, SECRETS, Resource
from llmbatch.kube.values import value_of
from llmbatch.provider.edge.tls import Authorities, AuthoritiesError
from llmbatch.provider.pure.connection import Connection
from llmbatch.transfer.pure import connections
from llmbatch.transfer.pure.report import Problem

Json = dict[str, Any]

MOST_PEM_BYTES = 256 * 1024
"""Of certificates: all public authorities are less, and to take in more would hold everything up for seconds."""
MOST_BYTES = 8 * 1024 * 1024
"""Of the certificates of a namespace that are kept."""


@dataclass(frozen=True)
class Access:
    """A gateway's connection with all that it needs; the secret values are in `environ` alone."""

    connection: Connection
    environ: dict[str, str] = field(repr=False)
    fingerprint: str
    """Changes whenever the spec or a value it refers to changes."""

    @property
    def authorities(self) -> str | None:
        """The installation's own authorities, for transfer pods too."""
        return self.connection.authorities


class MissingError(Exception):
    """Something that a BatchGateway refers to does not exist."""


@dataclass
class Files:
    """Certificates as files. Of a namespace that goes on making new ones the oldest go: they would fill the node's disk."""

    folder: Path
    _held: dict[str, OrderedDict[Path, int]] = field(default_factory=dict)
    """By namespace: the size of each, the longest unused first."""

    def put(self, namespace: str, content: bytes | None) -> str | None:
        """Give the path of a file with that content, which nobody else's is."""
        if content is None:
            return None
        # Named by content: a rotated certificate is a new file, and one in use is never changed.
        path = self.folder / hashlib.sha256(b"\0".join((namespace.encode(), content))).hexdigest()
        held = self._held.setdefault(namespace, OrderedDict())
        if path not in held or not path.exists():
            path.touch(mode=0o600)
            path.write_bytes(content)
        held[path] = len(content)
        held.move_to_end(path)
        while sum(held.values()) > MOST_BYTES:
            held.popitem(last=False)[0].unlink(missing_ok=True)
        return str(path)


class Credentials:
    """Reads references from the cluster; certificates go into files, since TLS libraries take no other form."""

    def __init__(self, cluster: Cluster, folder: Path, ca_file: str = "") -> None:
        """Keep certificate files in the given folder, readable by the operator alone; `ca_file`: see Authorities."""
        self._cluster = cluster
        self._authorities = Authorities(ca_file)
        self._files = Files(folder)

    async def resolve(self, namespace: str, spec: BatchGatewaySpec) -> Access | Problem:
        """Read everything that a gateway's spec refers to."""
        try:
            environ = await self._environ(namespace, spec)
            ca = await self._ca(namespace, spec.tls.ca_bundle) if spec.tls.ca_bundle else None
            client = (
                await self._client(namespace, spec.tls.client_certificate.secret_name)
                if spec.tls.client_certificate
                else None
            )
            authorities = None if ca is not None else self._authorities.read()
        except AuthoritiesError as error:
            return Problem(reason=Reason.GATEWAY_INVALID, message=str(error))
        except MissingError as error:
            return Problem(reason=Reason.CREDENTIALS_NOT_FOUND, message=str(error))
        certificate, key = client or (None, None)
        connection = connections.connection(
            spec,
            ca_file=self._files.put(namespace, ca),
            certificate_file=self._files.put(namespace, certificate),
            key_file=self._files.put(namespace, key),
            authorities=authorities,
        )
        parts = [connection.model_dump_json(), *(f"{name}={value}" for name, value in sorted(environ.items()))]
        return Access(connection, environ, hashlib.sha256("\n".join(parts).encode()).hexdigest())

    async def _environ(self, namespace: str, spec: BatchGatewaySpec) -> dict[str, str]:
        found: dict[str, str] = {}
        for kind, values in (("header", spec.headers), ("query", spec.query)):
            for index, item in enumerate(values):
                if item.value_from is None:
                    continue
                reference = item.value_from.secret_key_ref
                where = f"spec.{'headers' if kind == 'header' else 'query'}[{index}]"
                value = await self._value(SECRETS, namespace, reference, where)
                # A final newline is what `kubectl create secret --from-file` leaves; no header may have one.
                found[connections.secret_variable(kind, index)] = value.decode("utf-8", "replace").strip()
        return found

    async def _ca(self, namespace: str, bundle: CABundle) -> bytes:
        if bundle.config_map_key_ref is not None:
            reference = SecretKeyRef(name=bundle.config_map_key_ref.name, key=bundle.config_map_key_ref.key)
            return await self._value(CONFIGMAPS, namespace, reference, "spec.tls.caBundle")
        if bundle.secret_key_ref is not None:
            return await self._value(SECRETS, namespace, bundle.secret_key_ref, "spec.tls.caBundle")
        raise MissingError("spec.tls.caBundle names neither a ConfigMap nor a Secret")

    async def _client(self, namespace: str, name: str) -> tuple[bytes, bytes]:
        where = "spec.tls.clientCertificate"
        certificate = await self._value(SECRETS, namespace, SecretKeyRef(name=name, key="tls.crt"), where)
        return certificate, await self._value(SECRETS, namespace, SecretKeyRef(name=name, key="tls.key"), where)

    async def _value(self, resource: Resource, namespace: str, reference: SecretKeyRef, where: str) -> bytes:
        kind = "Secret" if resource is SECRETS else "ConfigMap"
        found = await self._cluster.get(resource, namespace, reference.name)
        if found is None:
            raise MissingError(f"{kind} {namespace}/{reference.name}, which {where} names, does not exist; create it.")
        value = value_of(found, reference.key)
        if value is None:
            raise MissingError(
                f"{kind} {namespace}/{reference.name} has no key '{reference.key}', which {where} names."
            )
        most = MOST_PEM_BYTES if where.startswith("spec.tls.") else MAX_OBJECT_BYTES
        if len(value) > most:
            told = f"key '{reference.key}' of {kind} {namespace}/{reference.name}, which {where} names, has {len(value)} bytes"
            raise MissingError(f"{told}, and at most {most} are taken; leave out authorities that are not needed.")
        return value
