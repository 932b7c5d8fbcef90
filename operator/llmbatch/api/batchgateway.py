"""BatchGateway: the gateway route through which batches go; a connection that many jobs share."""

from typing import Annotated

from pydantic import Field

from llmbatch.api.base import Key, Model, Name, ObservedGeneration, Time
from llmbatch.api.conditions import Condition, Conditions


class SecretKeyRef(Model):
    """A key of a Secret in the same namespace."""

    name: Name
    key: Key


class ConfigMapKeyRef(Model):
    """A key of a ConfigMap in the same namespace."""

    name: Name
    key: Key


class ValueSource(Model):
    """Where a value comes from."""

    secret_key_ref: SecretKeyRef = Field(description="A key of a Secret in the gateway's namespace.")


class NamedValue(Model):
    """A name with a value, given here or taken from a Secret."""

    rules = (("has(self.value) != has(self.valueFrom)", "exactly one of value, valueFrom must be set"),)

    name: str = Field(
        min_length=1,
        max_length=128,
        pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$",
        description="Name of the header or parameter.",
    )
    value: str | None = Field(
        None,
        max_length=4096,
        description="The value itself. Not for credentials: whoever may read this object sees it.",
    )
    value_from: ValueSource | None = Field(
        None, description="Takes the value from a Secret. Changes are seen without a restart."
    )


class CABundle(Model):
    """Where the certificates of trusted authorities are."""

    rules = (
        (
            "has(self.configMapKeyRef) != has(self.secretKeyRef)",
            "exactly one of configMapKeyRef, secretKeyRef must be set",
        ),
    )

    config_map_key_ref: ConfigMapKeyRef | None = Field(
        None, description="A key of a ConfigMap that holds PEM certificates."
    )
    secret_key_ref: SecretKeyRef | None = Field(None, description="A key of a Secret that holds PEM certificates.")


class ClientCertificate(Model):
    """A client certificate for mutual TLS."""

    secret_name: Name = Field(description="Name of a Secret of type kubernetes.io/tls (keys tls.crt and tls.key).")


class TLS(Model):
    """How the gateway's certificate is checked and what we present to it."""

    ca_bundle: CABundle | None = Field(
        None,
        description="Authorities to trust in place of the system's, for a gateway with a private CA; PEM of at most 256 KiB.",
    )
    client_certificate: ClientCertificate | None = Field(None, description="Client certificate for mutual TLS.")
    server_name: str | None = Field(
        None,
        min_length=1,
        max_length=253,
        pattern=r"^[A-Za-z0-9]([-A-Za-z0-9.:]*[A-Za-z0-9])?$",
        description="Name that the gateway's certificate is for, when it is reached under another one: it is asked for (SNI) "
        "and checked in place of the host in url. The Host header stays that of url.",
    )
    insecure_skip_verify: bool = Field(
        default=False,
        description="Accepts any certificate. For trials only: credentials and prompts can be read by a third party.",
    )


class Timeouts(Model):
    """How long a call may take."""

    connect_seconds: int = Field(
        10, ge=1, le=300, description="Until a connection is made; by a create call, 15 at the most."
    )
    request_seconds: int = Field(
        60,
        ge=1,
        le=600,
        description="Until a small call (create, poll, list, cancel, delete) is answered; a create call, 30 at the most.",
    )
    transfer_seconds: int = Field(
        900,
        ge=10,
        le=86400,
        description="Longest silence of the gateway during an upload or a download. What is slower than 1,024 bytes a second for as"
        " long is given up too. An upload from a ConfigMap or Secret has two minutes in all, and another for each MiB.",
    )


class GatewayLimits(Model):
    """Limits of the provider behind the gateway, checked before anything is sent."""

    max_active_batches: int = Field(
        0, ge=0, le=100000, description="Batches under way at the same time through this gateway; 0 means no limit."
    )
    max_file_bytes: int = Field(
        200_000_000,
        ge=1,
        le=2_000_000_000,
        description="Largest input file, in bytes (Azure OpenAI and OpenAI: 200 MB).",
    )
    max_requests_per_file: int = Field(
        100_000,
        ge=1,
        le=1_000_000,
        description="Most requests in one input file (Azure OpenAI: 100,000; OpenAI: 50,000).",
    )
    max_line_bytes: int = Field(
        16_777_216,
        ge=1024,
        le=268_435_456,
        description="Longest line of an input, that is one request, in bytes (default 16 MiB)."
        " To check a line takes several times its size in memory: with more, raise spec.transfer.resources of the BatchJobs too.",
    )

    requests_per_minute: int = Field(
        0,
        ge=0,
        le=1_000_000,
        description="Calls to the gateway in a minute, by all that goes through it; transfers are counted at their start."
        " Cancellations, deletions and results go before uploads and new batches, and these before polls; each fourth call"
        " goes to whoever has waited longest. 0: as many as there are.",
    )
    max_enqueued_tokens: int = Field(
        0,
        ge=0,
        le=1_000_000_000_000,
        description="Tokens of this gateway's quota group that may be enqueued at the provider at the same time, as estimated"
        " from the inputs: a batch waits in line before its input is uploaded until it fits. On Azure OpenAI: the enqueued token"
        " quota of the deployment. 0: no admission by tokens.",
    )
    quota_group: str | None = Field(
        None,
        min_length=1,
        max_length=253,
        pattern=r"^[A-Za-z0-9]([-A-Za-z0-9._/]*[A-Za-z0-9])?$",
        description="What shares one quota: the tokens that the gateways of a group have reserved, in any namespace that the"
        " operator watches, are added up. Default: all with the same url and batchesPath.",
    )
    bytes_per_token: int = Field(
        4,
        ge=1,
        le=16,
        description="Bytes of a prompt for each token, for the estimate: 4 for English text, 2 to 3 for other languages.",
    )


Path = Annotated[str, Field(min_length=1, max_length=256, pattern=r"^/[A-Za-z0-9._~/-]*$")]


class BatchGatewaySpec(Model):
    """What the user says about the gateway."""

    url: str = Field(
        min_length=1,
        max_length=2048,
        pattern=r"^https?://[^\s/@?#]+(/[^\s?#]*)?$",
        description="Base URL of the gateway's proxy, for example https://kong.example.com (Kong's how-to calls it KONNECT_PROXY_URL). "
        "http or https, without credentials, query or fragment.",
    )
    files_path: Path = Field("/files", description="Path of the route with route_type llm/v1/files, below url.")
    batches_path: Path = Field("/batches", description="Path of the route with route_type llm/v1/batches, below url.")
    headers: list[NamedValue] = Field(
        default=[],
        max_length=16,
        description="Headers sent with every call: the consumer's credentials (key-auth, JWT, basic). None that say where a request"
        " ends (Content-Length, Transfer-Encoding, Connection and the like).",
    )
    query: list[NamedValue] = Field(
        default=[],
        max_length=16,
        description="Query parameters sent with every call, for example api-version when there is no gateway in front of Azure OpenAI.",
    )
    tls: TLS = Field(TLS(), description="TLS towards the gateway.")
    timeouts: Timeouts = Field(Timeouts(), description="How long calls may take.")
    poll_interval_seconds: int = Field(
        60,
        ge=1,
        le=3600,
        description="Seconds between two polls; several batches are polled by one reading of the gateway's list, where it is of"
        " use. Azure asks for no more than one poll a minute.",
    )
    limits: GatewayLimits = Field(GatewayLimits(), description="Limits of the provider behind the gateway.")


class Capabilities(Model):
    """What the gateway can do, as found out by asking it."""

    list_batches: bool = Field(
        description="Whether GET on batchesPath lists batches. Without it a lost answer to a create call needs a person."
    )


class BatchGatewayStatus(Model):
    """What the operator found out about the gateway."""

    observed_generation: ObservedGeneration = Field(
        None, description="Generation of the spec that this status tells of; -1 until an operator has seen the object."
    )
    capabilities: Capabilities | None = Field(None, description="What the gateway can do, as found out by asking it.")
    active_batches: int | None = Field(None, description="Batches of this gateway's jobs that have not ended.")
    enqueued_tokens: int | None = Field(
        None,
        description="Tokens of the gateway's quota group that are at the provider or about to be, estimated; present with"
        " limits.maxEnqueuedTokens.",
    )
    queued_batches: int | None = Field(
        None,
        description="Batches of this gateway's jobs that wait for tokens, of each job the next one; present with"
        " limits.maxEnqueuedTokens.",
    )
    learned_tokens: int | None = Field(
        None,
        description="What this gateway goes by in place of limits.maxEnqueuedTokens, since the provider has refused a batch for"
        " want of quota; it rises by 5 % of the limit an hour, and is absent when it has reached it, or when the limit was raised.",
    )
    learned_time: Time | None = Field(None, description="When learnedTokens was true.")
    conditions: Conditions = Field(
        default=[],
        description="Ready: both routes were seen to answer as a Files and a Batches API, and accept the credentials. "
        "Stalled: a person must act, the message says how; Reconciling: what is in the way passes by itself. Both are present "
        "only while they are so, and never both. "
        "Insecure: the gateway's certificate is not checked; present only while that is so.",
    )

    def condition(self, kind: str) -> Condition | None:
        """Find a condition by its type."""
        return next((item for item in self.conditions if item.type == kind), None)
