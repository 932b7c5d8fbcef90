"""Reads objects from the API server over connections that are kept: one kubectl takes a fifth of a second of a processor.

By the client of Python's own, for any kubeconfig; `tests.cluster.kubeapi` reads only those that embed a certificate.
"""

import json
from functools import cache
from typing import Any

from kubernetes import client, config
from urllib3.exceptions import HTTPError

Json = dict[str, Any]

_CORE, _OURS = "/api/v1", "/apis/llmbatch.io/v1alpha1"
_PLACES = {
    "batchjob": (_OURS, "batchjobs"),
    "batchgateway": (_OURS, "batchgateways"),
    "pod": (_CORE, "pods"),
    "event": (_CORE, "events"),
    "secret": (_CORE, "secrets"),
    "configmap": (_CORE, "configmaps"),
    "job": ("/apis/batch/v1", "jobs"),
    "lease": ("/apis/coordination.k8s.io/v1", "leases"),
}
_SELECTORS = {"-l": "labelSelector", "--field-selector": "fieldSelector"}
SECONDS = 60


class ReadingError(Exception):
    """The API server didn't answer, or not with what was asked for; the message is its own."""


class Reader:
    """Reads what kubectl would show, of the kinds that tests ask for often."""

    def __init__(self, kubeconfig: str) -> None:
        self._api = config.new_client_from_config(config_file=kubeconfig)  # type: ignore[no-untyped-call]

    @staticmethod
    def knows(kind: str, *arguments: str) -> bool:
        """Tell whether kubectl isn't needed for this."""
        return _singular(kind) in _PLACES and all(option in _SELECTORS for option in arguments[::2])

    def get(self, kind: str, namespace: str, name: str) -> Json | None:
        """Read an object; None when there is none.

        Raises:
            ReadingError: Anything but the object or a 404 came.
        """
        return self._read(kind, namespace, f"/{name}", [])

    def items(self, kind: str, namespace: str, *arguments: str) -> list[Json]:
        """List objects; arguments are kubectl's.

        Raises:
            ReadingError: Anything but a list came.
        """
        query = [(_SELECTORS[option], given) for option, given in zip(arguments[::2], arguments[1::2], strict=True)]
        found = self._read(kind, namespace, "", query)
        if found is None:
            raise ReadingError(f"the API server knows no {kind}")
        items: list[Json] = found["items"]
        return items

    def _read(self, kind: str, namespace: str, rest: str, query: list[tuple[str, str]]) -> Json | None:
        group, plural = _PLACES[_singular(kind)]
        path = f"{group}/namespaces/{namespace}/{plural}{rest}"
        request = self._api.param_serialize(
            "GET", path, query_params=query, header_params={"Accept": "application/json"}, auth_settings=["BearerToken"]
        )
        try:
            answer = self._api.call_api(*request, _request_timeout=SECONDS)
            content = answer.read()
        except (client.ApiException, HTTPError) as error:
            raise ReadingError(f"GET {path}: {error}") from None
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise ReadingError(f"GET {path}: {answer.status} {content.decode(errors='replace')[:500]}")
        found: Json = json.loads(content)
        return found


@cache
def reader(kubeconfig: str) -> Reader:
    """Give the one reader of a cluster."""
    return Reader(kubeconfig)


def _singular(kind: str) -> str:
    return kind.removesuffix("s")
