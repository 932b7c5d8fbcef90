"""How a gateway is reached: by the operator itself, and from a transfer pod."""

from collections.abc import Mapping
from typing import Any

from llmbatch.api.batchgateway import BatchGatewaySpec, NamedValue
from llmbatch.provider.pure.connection import Connection, Setting
from llmbatch.transfer.pure.mounts import CA_ROOT, CLIENT_ROOT

Json = dict[str, Any]


PROXIES = tuple(
    form for name in ("HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "ALL_PROXY") for form in (name, name.lower())
)


def proxies_of(environment: Mapping[str, str]) -> dict[str, str]:
    """Give the variables by which the operator itself finds its way to gateways, for the transfer pods."""
    return {name: environment[name] for name in PROXIES if environment.get(name)}


def secret_variable(kind: str, index: int) -> str:
    """Name the environment variable that holds a header's or parameter's secret value."""
    return f"LLMBATCH_{kind.upper()}_{index}"


def settings_of(kind: str, values: list[NamedValue]) -> list[Setting]:
    """Turn headers or parameters into settings; those from a Secret name a variable."""
    return [
        Setting(name=item.name, value=item.value)
        if item.value_from is None
        else Setting(name=item.name, variable=secret_variable(kind, index))
        for index, item in enumerate(values)
    ]


def connection(
    spec: BatchGatewaySpec,
    *,
    ca_file: str | None,
    certificate_file: str | None,
    key_file: str | None,
    authorities: str | None = None,
) -> Connection:
    """Describe how the gateway is reached, with files where the caller has put them."""
    return Connection(
        url=spec.url.rstrip("/"),
        files_path=spec.files_path,
        batches_path=spec.batches_path,
        headers=settings_of("header", spec.headers),
        query=settings_of("query", spec.query),
        ca_file=ca_file,
        certificate_file=certificate_file,
        key_file=key_file,
        # A gateway's own bundle is trusted in place of all others.
        authorities=authorities if ca_file is None else None,
        server_name=spec.tls.server_name,
        insecure_skip_verify=spec.tls.insecure_skip_verify,
        connect_seconds=spec.timeouts.connect_seconds,
        request_seconds=spec.timeouts.request_seconds,
        transfer_seconds=spec.timeouts.transfer_seconds,
    )


def pod_connection(spec: BatchGatewaySpec, authorities: str | None = None) -> Connection:
    """Describe how the transfer pod reaches the gateway."""
    client = spec.tls.client_certificate is not None
    return connection(
        spec,
        ca_file=f"{CA_ROOT}/ca.crt" if spec.tls.ca_bundle is not None else None,
        certificate_file=f"{CLIENT_ROOT}/tls.crt" if client else None,
        key_file=f"{CLIENT_ROOT}/tls.key" if client else None,
        authorities=authorities,
    )


def secrets_of(gateway: BatchGatewaySpec) -> list[Json]:
    """Give the variables of the container that hold the values from Secrets."""
    return [
        {
            "name": secret_variable(kind, index),
            "valueFrom": {"secretKeyRef": item.value_from.secret_key_ref.dump()},
        }
        for kind, values in (("header", gateway.headers), ("query", gateway.query))
        for index, item in enumerate(values)
        if item.value_from is not None
    ]
