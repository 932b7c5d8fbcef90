"""What a transfer pod is made from: a BatchJob's spec.transfer over the defaults for all jobs."""

import re
from collections.abc import Iterable
from typing import Any

from llmbatch.api.transfer import OPEN, Transfer
from llmbatch.transfer.pure import naming

Json = dict[str, Any]

NOT_FOR_USERS = re.compile(r"(.*\.)?llmbatch\.io/|batch\.kubernetes\.io/|controller-uid$|job-name$")
"""Labels and annotations of ours, and those that the Job controller sets itself and refuses from others."""


def merged(defaults: Transfer, own: Transfer) -> Transfer:
    """Put a job's own words over the defaults: maps by key, lists one after the other, everything else as a whole.

    Resources are not merged here: see resources().
    """
    maps = {
        name: {**getattr(defaults, name), **getattr(own, name)} for name in ("labels", "annotations", "node_selector")
    }
    lists = {
        name: list(dict.fromkeys([*getattr(defaults, name), *getattr(own, name)]))
        for name in ("tolerations", "image_pull_secrets")
    }
    names = {
        name: getattr(own, name) or getattr(defaults, name)
        for name in ("priority_class_name", "service_account_name", "runtime_class_name")
    }
    affinity = own.affinity if affinity_of(own) else defaults.affinity
    return own.model_copy(update={**maps, **lists, **names, "affinity": affinity})


def affinity_of(transfer: Transfer) -> Json:
    """Write the affinity as the API server takes it; an empty selector in it selects everything, and stays."""
    dumped = transfer.affinity.model_dump(mode="json", by_alias=True)
    return {kind: rules for kind, rules in dumped.items() if rules}


def security_context(defaults: Transfer, own: Transfer) -> Json:
    """Give user and groups; what neither names is left out, for the namespace to decide, as OpenShift has it."""
    given, fallback = own.security_context, defaults.security_context
    names = {name: getattr(given, name) or getattr(fallback, name) for name in (*OPEN, "supplemental_groups")}
    return given.model_copy(update=names).dump()


RESTRICTED: Json = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
"""Security context of a container within the restricted pod security standard."""


def pod(transfer: Transfer, security: Json, pull_secrets: Iterable[str]) -> Json:
    """Make what the spec of each of our pods has: as whom and where it runs, and what its image is pulled with.

    Args:
        transfer: As merged() has it.
        security: As security_context() has it.
        pull_secrets: Names for all jobs.
    """
    names = dict.fromkeys((*pull_secrets, *(item.name for item in transfer.image_pull_secrets)))
    return {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            **security,
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
            "fsGroupChangePolicy": "OnRootMismatch",
        },
        "imagePullSecrets": [{"name": name} for name in names],
        "nodeSelector": transfer.node_selector,
        "tolerations": [item.dump() for item in transfer.tolerations],
        "affinity": affinity_of(transfer),
        "priorityClassName": transfer.priority_class_name,
        "serviceAccountName": transfer.service_account_name,
        "runtimeClassName": transfer.runtime_class_name,
    }


def allowed(given: dict[str, str]) -> dict[str, str]:
    """Leave out labels or annotations that only the operator and Kubernetes may set."""
    return {
        key: value for key, value in given.items() if not NOT_FOR_USERS.match(key) and key != naming.LABEL_MANAGED_BY
    }


# --- resources -------------------------------------------------------------------------------------------------------

SUFFIXES = {
    "n": 1e-9, "u": 1e-6, "m": 1e-3, "": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18,
    "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40, "Pi": 2.0**50, "Ei": 2.0**60,
}  # fmt: skip
QUANTITY = re.compile(r"([+-]?[0-9.]+)(?:[eE]([+-]?[0-9]+)|([numkMGTPE]|[KMGTPE]i)?)")


def amount(quantity: object) -> float | None:
    """Read a quantity (1, "100m", "1.5Gi", "2e3"); None when it is none, which the API server will say."""
    found = QUANTITY.fullmatch(str(quantity).strip())
    if found is None:
        return None
    try:
        return float(found[1]) * (10.0 ** int(found[2]) if found[2] else SUFFIXES[found[3] or ""])
    except (ValueError, OverflowError):
        return None


def resources(defaults: Json, own: Transfer) -> Json:
    """Merge a job's resources into the defaults, each by its name.

    Where a default would contradict what the job says (a promise above the most that may be used), the default gives way.
    """
    given = own.resources.dump()
    limits = {**(defaults.get("limits") or {}), **given.get("limits", {})}
    requests = {**(defaults.get("requests") or {}), **given.get("requests", {})}
    for name in limits.keys() & requests.keys():
        most, promised = amount(limits[name]), amount(requests[name])
        if most is None or promised is None or promised <= most:
            continue
        if name not in given.get("requests", {}):
            requests[name] = limits[name]
        elif name not in given.get("limits", {}):
            limits[name] = requests[name]
    merged_resources = {"requests": requests, "limits": limits}
    return {**{key: value for key, value in defaults.items() if key not in merged_resources}, **merged_resources}
