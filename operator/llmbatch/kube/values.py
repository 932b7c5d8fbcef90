"""What Secrets and ConfigMaps hold."""

import base64
from typing import Any

Json = dict[str, Any]


def value_of(found: Json, key: str) -> bytes | None:
    """Read a key of a Secret or a ConfigMap; None when it has no such key."""
    data, binary = found.get("data") or {}, found.get("binaryData") or {}
    if found.get("kind") == "Secret":
        return base64.b64decode(data[key]) if key in data else None
    if key in data:
        return str(data[key]).encode()
    return base64.b64decode(binary[key]) if key in binary else None
