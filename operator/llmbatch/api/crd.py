"""Makes the CustomResourceDefinitions from the models: structural schemas with descriptions and CEL rules."""

from pathlib import Path
from typing import Any

import yaml

from llmbatch.api import BATCHGATEWAYS, BATCHJOBS, GROUP, VERSION
from llmbatch.api.base import UNSEEN, Model
from llmbatch.api.batch_status import Summary
from llmbatch.api.batchgateway import BatchGatewaySpec, BatchGatewayStatus
from llmbatch.api.batchjob import BatchJobSpec
from llmbatch.api.batchjob_status import BatchJobStatus
from llmbatch.api.deletion import RETAINED_OUTPUT

Schema = dict[str, Any]

# What structural schemas know and we use; everything else pydantic writes (title, propertyNames, …) is dropped.
KEPT = (
    "type", "format", "description", "default", "enum", "pattern", "minimum", "maximum", "minLength", "maxLength",
    "minItems", "maxItems", "maxProperties", "items", "properties", "additionalProperties", "required",
)  # fmt: skip

RULES = "x-kubernetes-validations"
STORED = "has(oldSelf.status) && has(oldSelf.status.output)"
PARTS_STORED = (
    "has(oldSelf.status) && has(oldSelf.status.batches) && oldSelf.status.batches.exists(batch, has(batch.results))"
)
# As transfer.pure.plan.parts_location says it, but for the uid at its end.
_VOLUME = "self.spec.output.persistentVolumeClaim"
BESIDE_PARTS = (
    f"has({_VOLUME}) && has(oldSelf.status.partsLocation) && self.spec.output.order == oldSelf.spec.output.order &&"
    f" oldSelf.status.partsLocation.startsWith('persistentvolumeclaim/' + {_VOLUME}.claimName + ' folder ' +"
    f" {_VOLUME}.path.substring(0, {_VOLUME}.path.lastIndexOf('/') + 1) + '.llmbatch-')"
)
READY = '.status.conditions[?(@.type=="Ready")]'


def _structural(schema: Schema, definitions: dict[str, Schema]) -> Schema:
    """Turn pydantic's JSON schema into a structural one: references inlined, nullable unions narrowed."""
    if "$ref" in schema:
        target = definitions[schema["$ref"].rsplit("/", 1)[1]]
        rules = [*target.get(RULES, []), *schema.get(RULES, [])]
        schema = {**target, **{key: value for key, value in schema.items() if key != "$ref"}}
        if rules:
            schema[RULES] = rules
    if "anyOf" in schema:
        options = [option for option in schema["anyOf"] if option.get("type") != "null"]
        rest = {key: value for key, value in schema.items() if key not in ("anyOf", "default")}
        if len(options) == 1:
            return _structural({**options[0], **rest}, definitions)
        # The unions in the API are quantities, 1 or "100m", and percentages.
        return {**_kept(rest), "x-kubernetes-int-or-string": True}
    if "const" in schema:
        schema = {**schema, "type": "string", "enum": [schema["const"]]}
    kept = _kept(schema)
    if kept.get("type") == "integer":
        kept["format"] = "int64"
    if kept.get("type") in ("object", "array"):
        # A default object would be written into every stored object; the members' own defaults say the same.
        kept.pop("default", None)
    if "x-kubernetes-preserve-unknown-fields" in kept:
        kept.pop("additionalProperties", None)
    if "properties" in kept:
        kept["properties"] = {key: _structural(value, definitions) for key, value in kept["properties"].items()}
        kept.pop("additionalProperties", None)
    elif isinstance(kept.get("additionalProperties"), dict):
        kept["additionalProperties"] = _structural(kept["additionalProperties"], definitions)
    if "items" in kept:
        kept["items"] = _structural(kept["items"], definitions)
    return kept


def _kept(schema: Schema) -> Schema:
    kept = {key: value for key, value in schema.items() if key in KEPT or key.startswith("x-kubernetes-")}
    if "description" in kept:
        kept["description"] = " ".join(kept["description"].split())
    return kept


def schema_of(model: type[Model]) -> Schema:
    """Give the structural schema of a model."""
    # pydantic describes what it writes: optional fields aren't required, serialised times are strings.
    schema = model.model_json_schema(by_alias=True, mode="validation")
    return _structural(schema, schema.get("$defs", {}))


def _column(name: str, kind: str, path: str, description: str, *, wide: bool = False) -> Schema:
    column: Schema = {"name": name, "type": kind, "jsonPath": path, "description": description}
    return {**column, "priority": 1} if wide else column


AGE = {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}


def _definition(
    *,
    kind: str,
    plural: str,
    short: str,
    description: str,
    spec: Schema,
    status: Schema,
    columns: list[Schema],
    rules: list[Schema],
) -> Schema:
    root: Schema = {
        "type": "object",
        "description": description,
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": "llmbatch.io/v1alpha1."},
            "kind": {"type": "string", "description": f"{kind}."},
            "metadata": {"type": "object"},
            "spec": spec,
            # Else an object that nobody has looked at has no status at all, which kstatus calls done.
            "status": {**status, "default": {"observedGeneration": UNSEEN}},
        },
    }
    if rules:
        root["x-kubernetes-validations"] = rules
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": plural,
                "singular": kind.lower(),
                "shortNames": [short],
                "categories": ["llmbatch"],
            },
            "scope": "Namespaced",
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": columns,
                    "schema": {"openAPIV3Schema": root},
                }
            ],
        },
    }


def _output_policy(of: str) -> str:
    """Read deletionPolicy.output in CEL; its default is there only when deletionPolicy is."""
    given = f"{of}.spec.deletionPolicy"
    return f"(has({given}) && has({given}.output) ? {given}.output : '{RETAINED_OUTPUT}')"


def _batchjob_status() -> Schema:
    """Put what is said of a job's batches together beside the rest."""
    status, summary = schema_of(BatchJobStatus), schema_of(Summary)
    return {**status, "properties": {**status["properties"], **summary["properties"]}}


def batchjob() -> Schema:
    """Make the CustomResourceDefinition of BatchJob."""
    return _definition(
        kind="BatchJob",
        plural=BATCHJOBS,
        short="bj",
        description="BatchJob is one batch of LLM requests: JSONL in, results out, submitted exactly once through a gateway.",
        spec=schema_of(BatchJobSpec),
        status=_batchjob_status(),
        columns=[
            _column("Phase", "string", ".status.phase", "Where the job is."),
            _column("Progress", "string", ".status.progress", "Requests answered."),
            _column("Completed", "integer", ".status.requestCounts.completed", "Requests that succeeded."),
            _column("Failed", "integer", ".status.requestCounts.failed", "Requests that failed."),
            _column(
                "Ready",
                "string",
                READY + ".status",
                "Whether the job has got as far as spec.readyWhen asks: by default, whether the results are stored.",
            ),
            AGE,
            _column("Reason", "string", READY + ".reason", "Why it is or isn't ready.", wide=True),
            _column("Gateway", "string", ".spec.gatewayRef.name", "Gateway it goes through.", wide=True),
            _column("Batch", "string", ".status.batches[0].id", "Id of the batch at the provider.", wide=True),
            _column("Queue", "integer", ".status.queue.position", "Place in line for tokens of the quota.", wide=True),
        ],
        rules=[
            {
                "rule": f"!({STORED}) || self.spec.output == oldSelf.spec.output",
                "message": "spec.output can't change any more: the results are stored at status.output.location",
            },
            {
                # A change that was made at the very moment when they were stored can be taken back.
                "rule": f"!({PARTS_STORED}) || self.spec.output == oldSelf.spec.output || ({BESIDE_PARTS})",
                "message": "spec.output can't change any more but for the file's name: results of some parts are stored beside it,"
                " see status.partsLocation",
            },
            {
                "rule": f"!({STORED}) || {_output_policy('self')} == {_output_policy('oldSelf')}",
                "message": "spec.deletionPolicy.output can't change any more: the results are stored",
            },
        ],
    )


def batchgateway() -> Schema:
    """Make the CustomResourceDefinition of BatchGateway."""
    return _definition(
        kind="BatchGateway",
        plural=BATCHGATEWAYS,
        short="bgw",
        description="BatchGateway is a connection that BatchJobs share: the Kong AI Gateway routes for files and batches.",
        spec=schema_of(BatchGatewaySpec),
        status=schema_of(BatchGatewayStatus),
        columns=[
            _column("URL", "string", ".spec.url", "Base URL of the gateway."),
            _column("Ready", "string", READY + ".status", "Whether both routes answer and accept the credentials."),
            _column("Active", "integer", ".status.activeBatches", "Batches that have not ended."),
            AGE,
            _column("Reason", "string", READY + ".reason", "Why it is or isn't ready.", wide=True),
            _column(
                "Tokens", "integer", ".status.enqueuedTokens", "Tokens that its quota group has reserved.", wide=True
            ),
            _column("Queued", "integer", ".status.queuedBatches", "Batches that wait for tokens.", wide=True),
        ],
        rules=[],
    )


def write(folder: Path) -> list[Path]:
    """Write both definitions into a folder; answers the files written."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for definition in (batchjob(), batchgateway()):
        path = folder / f"{definition['metadata']['name'].split('.')[0]}.yaml"
        text = yaml.safe_dump(definition, sort_keys=False, width=120, allow_unicode=True)
        path.write_text(
            f"# Generated from operator/llmbatch/api by `make crds`; do not edit.\n{text}", encoding="utf-8"
        )
        written.append(path)
    return written
