"""JSON schemas for kubeconform, made where it can't fetch any: of Kubernetes' own OpenAPI text, and of our CRDs.

kubeconform finds a schema by file name: kind, first word of the API group, version, as in deployment-apps-v1.json.
"""

import json
import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.gobuild import module_folder
from tests.cluster.paths import CACHE, REPOSITORY, alone, content_hash, made_whole
from tests.cluster.shell import ClusterError
from tests.cluster.tools import KUBERNETES_VERSION, OLDEST_VERSION, SOURCE

Schema = dict[str, Any]

SUPPORTED = (OLDEST_VERSION, "v1.30.14", "v1.31.14", "v1.32.13", "v1.33.13", KUBERNETES_VERSION)
"""Of each minor version of Kubernetes that the chart says it is for, the last one."""

CRDS = REPOSITORY / "crds"

OBJECT_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
# The OpenAPI text says "string" of these two, and means more.
ALSO_NUMBERS = (
    "io.k8s.apimachinery.pkg.api.resource.Quantity",
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString",
)
INT_OR_STRING: Schema = {"type": ["string", "number"]}

KEPT = (
    "type", "format", "enum", "pattern", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems",
    "maxProperties", "required", "$ref",
)  # fmt: skip


def location(folder: Path) -> str:
    """Say to kubeconform how files are named in a folder."""
    return f"{folder}/{{{{ .ResourceKind }}}}{{{{ .KindSuffix }}}}.json"


def kubernetes(version: str = KUBERNETES_VERSION) -> Path:
    """Give the folder with the schemas of Kubernetes' own kinds; made once, then kept in the cache."""
    # Named after what it is made by too, so that a change of the conversion is never hidden by an older folder.
    folder = CACHE / f"schemas-{version}-{content_hash([Path(__file__)])}"
    if not folder.is_dir():
        with alone("schemas", "another run that makes Kubernetes' schemas"):
            _make_kubernetes(folder, version)
    return folder


def _make_kubernetes(folder: Path, version: str) -> None:
    if folder.is_dir():
        return  # by whoever was waited for
    definitions = _definitions(version)
    with made_whole(folder) as unfinished:
        for name, definition in definitions.items():
            for kind in definition.get("x-kubernetes-group-version-kind", []):
                schema = {"$ref": f"#/definitions/{name}", "definitions": _reachable(name, definitions)}
                _write(unfinished, kind["kind"], kind["group"], kind["version"], schema)


def custom(folder: Path) -> Path:
    """Write the schemas of our custom resources, as crds/ has them now, into a folder."""
    return write_definitions(sorted(CRDS.glob("*.yaml")), folder)


def write_definitions(paths: Iterable[Path], folder: Path) -> Path:
    """Write the schemas of custom resources into a folder."""
    # Any of Kubernetes' own kinds brings the definition of metadata.
    definitions = json.loads((kubernetes() / "configmap-v1.json").read_text(encoding="utf-8"))["definitions"]
    for path in paths:
        # To YAML 1.1 a lone "=" is of a type of its own, which PyYAML can't read; Go takes it for text.
        text = re.sub(r"^( *- )=$", r'\1"="', path.read_text(encoding="utf-8"), flags=re.MULTILINE)
        spec = yaml.load(text, Loader=yaml.CSafeLoader)["spec"]
        for version in spec["versions"]:
            schema = strict(version["schema"]["openAPIV3Schema"])
            schema["properties"]["metadata"] = {"$ref": f"#/definitions/{OBJECT_META}"}
            schema["definitions"] = definitions
            _write(folder, spec["names"]["kind"], spec["group"], version["name"], schema)
    return folder


def strict(schema: Schema) -> Schema:
    """Take what says which documents are valid, and refuse fields that it doesn't name."""
    if schema.get("x-kubernetes-int-or-string") or schema.get("format") == "int-or-string":
        return dict(INT_OR_STRING)
    kept: Schema = {key: value for key, value in schema.items() if key in KEPT}
    if "items" in schema:
        kept["items"] = strict(schema["items"])
    if isinstance(schema.get("additionalProperties"), dict):
        kept["additionalProperties"] = strict(schema["additionalProperties"])
    if "properties" in schema:
        kept["properties"] = {name: strict(value) for name, value in schema["properties"].items()}
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            kept["additionalProperties"] = False
    return kept


def _definitions(version: str) -> dict[str, Schema]:
    text = (_kubernetes_source(version) / "api/openapi-spec/swagger.json").read_text(encoding="utf-8")
    definitions: dict[str, Schema] = json.loads(text)["definitions"]
    return definitions


def _kubernetes_source(version: str) -> Path:
    if not shutil.which("go"):
        raise ClusterError(
            "kubeconform's schemas are made from Kubernetes' OpenAPI text, which is fetched as a Go module: install Go 1.26 or newer."
        )
    return module_folder(SOURCE, f"k8s.io/kubernetes@{version}")


def _reachable(name: str, definitions: dict[str, Schema]) -> dict[str, Schema]:
    """Give a definition and all that it refers to, itself included where it is recursive."""
    found: dict[str, Schema] = {}
    waiting = [name]
    while waiting:
        current = waiting.pop()
        if current in found:
            continue
        found[current] = dict(INT_OR_STRING) if current in ALSO_NUMBERS else strict(definitions[current])
        waiting.extend(_references(found[current]))
    return found


def _references(schema: Schema) -> list[str]:
    # Not a search for "$ref" in the text: a CRD's schema has a property of that name.
    parts = [schema.get("items"), schema.get("additionalProperties"), *schema.get("properties", {}).values()]
    found = [reference for part in parts if isinstance(part, dict) for reference in _references(part)]
    return [schema["$ref"].rsplit("/", 1)[1], *found] if "$ref" in schema else found


def _write(folder: Path, kind: str, group: str, version: str, schema: Schema) -> None:
    words = [kind, group.split(".", maxsplit=1)[0], version] if group else [kind, version]
    (folder / f"{'-'.join(words).lower()}.json").write_text(json.dumps(schema), encoding="utf-8")
