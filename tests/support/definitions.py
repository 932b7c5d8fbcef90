"""What the API server refuses by a definition of ours: the schema's bounds, the rules about changes, and etcd's limit.

The schema is read from the definition itself. Of its rules in CEL, those about the whole object are written here once more,
in Python, by their text: a rule that was changed and isn't here refuses everything.
"""

import json
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from llmbatch.api import BATCHJOBS, crd
from llmbatch.transfer.pure.plan import parts_location

Json = dict[str, Any]

MOST_BYTES = 1_572_864
"""Of an object in etcd (--max-request-bytes)."""
LEAST, MOST = -(2**63), 2**63 - 1
_TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
}


@cache
def definition() -> Json:
    """Give the schema of a whole BatchJob."""
    found: Json = crd.batchjob()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return found


def refusals(plural: str, old: Json | None, made: Json, *, status: bool) -> Iterator[str]:
    """Say why a write is refused.

    Args:
        plural: The kind of object.
        old: What is stored.
        made: What is to be.
        status: It is the status that is written; else the schema is not looked at, which tests of old objects break.
    """
    if plural != BATCHJOBS:
        return
    if status:
        yield from faults(made.get("status") or {}, definition()["properties"]["status"], "status")
        if (size := len(json.dumps(made, ensure_ascii=False, separators=(",", ":")).encode())) > MOST_BYTES:
            yield f"etcdserver: request is too large ({size} bytes)"
    for rule in definition()["x-kubernetes-validations"] if old is not None else ():
        holds = RULES.get(rule["rule"])
        if old is not None and (holds is None or not holds(old, made)):
            yield str(rule["message"])


def faults(value: Any, schema: Json, path: str) -> Iterator[str]:
    """Say what of a value the schema doesn't allow; members that it doesn't know are pruned, not refused."""
    kind = schema.get("type")
    if kind is not None and (not isinstance(value, _TYPES[kind]) or (kind == "integer" and isinstance(value, bool))):
        yield f"{path}: must be of type {kind}: {value!r}"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{path}: unsupported value: {value!r}"
    if isinstance(value, int) and not isinstance(value, bool):
        least, most = schema.get("minimum", LEAST), schema.get("maximum", MOST)
        if not least <= value <= most:
            yield f"{path}: {value} is not within {least} and {most}"
    size = (
        ("Length", len(value)) if isinstance(value, str) else ("Items", len(value)) if isinstance(value, list) else None
    )
    if size is not None and not schema.get(f"min{size[0]}", 0) <= size[1] <= schema.get(f"max{size[0]}", size[1]):
        yield f"{path}: has {size[1]}, which is not within its bounds"
    if isinstance(value, dict):
        yield from (f"{path}.{name}: Required value" for name in schema.get("required", []) if name not in value)
        for name, inner in schema.get("properties", {}).items():
            if name in value:
                yield from faults(value[name], inner, f"{path}.{name}")
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from faults(item, schema["items"], f"{path}[{index}]")


def _of(found: Json, *names: str) -> Any:
    for name in names:
        found = found.get(name) or {}
    return found


def _same_output(old: Json, made: Json) -> bool:
    return bool(_of(old, "spec", "output") == _of(made, "spec", "output"))


def _output_stays_once_stored(old: Json, made: Json) -> bool:
    return not _of(old, "status", "output") or _same_output(old, made)


def _output_stays_beside_parts(old: Json, made: Json) -> bool:
    if _same_output(old, made) or not any(batch.get("results") for batch in _of(old, "status", "batches") or []):
        return True
    volume, there = _of(made, "spec", "output", "persistentVolumeClaim"), _of(old, "status", "partsLocation")
    if not volume or not there or _of(made, "spec", "output", "order") != _of(old, "spec", "output", "order"):
        return False
    return str(there).startswith(parts_location(volume["claimName"], volume["path"], ""))


def _output_policy_stays_once_stored(old: Json, made: Json) -> bool:
    policies = [_of(found, "spec", "deletionPolicy", "output") or "Retain" for found in (old, made)]
    return not _of(old, "status", "output") or policies[0] == policies[1]


RULES: dict[str, Callable[[Json, Json], bool]] = {
    f"!({crd.STORED}) || self.spec.output == oldSelf.spec.output": _output_stays_once_stored,
    "!(has(oldSelf.status) && has(oldSelf.status.batches) && oldSelf.status.batches.exists(batch, has(batch.results))) ||"
    " self.spec.output == oldSelf.spec.output || (has(self.spec.output.persistentVolumeClaim) &&"
    " has(oldSelf.status.partsLocation) && self.spec.output.order == oldSelf.spec.output.order &&"
    " oldSelf.status.partsLocation.startsWith('persistentvolumeclaim/' +"
    " self.spec.output.persistentVolumeClaim.claimName + ' folder ' +"
    " self.spec.output.persistentVolumeClaim.path.substring(0, self.spec.output.persistentVolumeClaim.path.lastIndexOf('/')"
    " + 1) + '.llmbatch-'))": _output_stays_beside_parts,
    "!(has(oldSelf.status) && has(oldSelf.status.output)) || (has(self.spec.deletionPolicy) &&"
    " has(self.spec.deletionPolicy.output) ? self.spec.deletionPolicy.output : 'Retain') =="
    " (has(oldSelf.spec.deletionPolicy) && has(oldSelf.spec.deletionPolicy.output) ? oldSelf.spec.deletionPolicy.output :"
    " 'Retain')": _output_policy_stays_once_stored,
}
