"""One request to the API server: within the declared permissions and a time limit, and what a refusal of it says."""

import contextlib
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import aiohttp

from llmbatch.kube.clock import Clock
from llmbatch.kube.errors import ClusterError, Json, beginning_of, object_in, read_json, refused
from llmbatch.kube.permissions import Permissions, Resource

METHODS = {"get": "GET", "list": "GET", "create": "POST", "update": "PUT", "patch": "PATCH", "delete": "DELETE"}
REQUEST_SECONDS = 30
MOST_EVENT_BYTES = 8 * 1024 * 1024
"""No object is larger: etcd takes 1.5 MiB."""


class AnswerTooLargeError(ClusterError):
    """The answer has more bytes than were asked for; less is to be asked for at one time."""


class Transport:
    """Sends requests, each of them once; the clock learns from their answers."""

    def __init__(self, api: Any, clock: Clock, declared: Sequence[Permissions]) -> None:  # noqa: ANN401 - the generated client has no type information
        """Use a configured kubernetes.aio ApiClient, for what is declared."""
        self._api = api
        self._clock = clock
        self._declared = declared

    def apart(self) -> tuple[Any, Sequence[Permissions]]:
        """Give an ApiClient of the same configuration, with connections of its own, and for what it is."""
        return type(self._api)(self._api.configuration), self._declared

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()

    async def call(
        self,
        verb: str,
        resource: Resource,
        namespace: str | None,
        name: str = "",
        subresource: str = "",
        *,
        body: Json | list[Json] | None = None,
        content_type: str = "application/json",
        query: dict[str, str] | None = None,
        most_bytes: int | None = None,
    ) -> Json:
        """Call about objects of a kind, or one of them.

        Raises:
            AnswerTooLargeError: The answer has more than `most_bytes`.
            PermissionError: No such permission is declared.
            ClusterError: The API server refused it, or did not answer.
        """
        self._permit(verb, resource, subresource)
        path = _path(resource, namespace, name, subresource)
        return await self.request(
            METHODS[verb], path, body=body, content_type=content_type, query=query, most_bytes=most_bytes
        )

    @contextlib.asynccontextmanager
    async def watch(
        self, resource: Resource, namespace: str | None, query: Mapping[str, str], quiet_seconds: float
    ) -> AsyncIterator[AsyncIterator[Json]]:
        """Watch objects of a kind, from when the API server has taken the call: gives what it tells, until it ends that.

        Raises:
            PermissionError: No such permission is declared.
            ClusterError: The API server refused it, did not answer, or has said nothing for `quiet_seconds`.
        """
        self._permit("watch", resource, "")
        path = _path(resource, namespace)
        timeout = aiohttp.ClientTimeout(total=None, connect=REQUEST_SECONDS, sock_read=quiet_seconds)
        given = [*query.items(), ("watch", "true"), ("allowWatchBookmarks", "true")]
        try:
            verb, url, prepared, _, _ = await self._api.param_serialize(
                "GET",
                path,
                query_params=given,
                header_params={"Accept": "application/json"},
                auth_settings=["BearerToken"],
            )
            answer = await self._api.call_api(verb, url, prepared, None, _request_timeout=timeout)
            with contextlib.closing(answer.response):
                if not 200 <= answer.status <= 299:
                    raise refused(answer.status, answer.headers, await answer.read())
                yield _events(answer.response.content)
        except (TimeoutError, OSError, aiohttp.ClientError) as error:
            raise ClusterError(0, "NoAnswer", f"no answer from the API server to GET {path}: {error!r}") from error

    def _permit(self, verb: str, resource: Resource, subresource: str) -> None:
        if not any(verb in needed.get((resource, subresource), ()) for needed in self._declared):
            raise PermissionError(f"{verb} {resource.plural}/{subresource} is not among the operator's permissions")

    async def request(
        self,
        method: str,
        path: str,
        *,
        body: Json | list[Json] | None = None,
        content_type: str = "application/json",
        query: dict[str, str] | None = None,
        most_bytes: int | None = None,
    ) -> Json:
        """Send a request, once, and give what is answered.

        Raises:
            AnswerTooLargeError: The answer has more than `most_bytes`.
            ClusterError: The API server refused it, or did not answer.
        """
        given = [(key, value) for key, value in (query or {}).items() if value]
        headers = {"Accept": "application/json", "Content-Type": content_type}
        # Without the body, which is JSON already: it would be looked through for models.
        verb, url, prepared, _, _ = await self._api.param_serialize(
            method, path, query_params=given, header_params=headers, auth_settings=["BearerToken"]
        )
        began = time.monotonic()
        try:
            response = await self._api.call_api(verb, url, prepared, body, _request_timeout=REQUEST_SECONDS)
            self._clock.learn(response.headers.get("Date"), time.monotonic() - began)
            raw = await (response.read() if most_bytes is None else _read(response.response, most_bytes))
        except (TimeoutError, OSError, aiohttp.ClientError) as error:
            raise ClusterError(0, "NoAnswer", f"no answer from the API server to {method} {path}: {error!r}") from error
        if not 200 <= response.status <= 299:
            raise refused(response.status, response.headers, raw)
        if (parsed := object_in(raw)) is None:
            # A page of something on the way, say: as an empty list it would be taken for the end of all objects.
            raise ClusterError(0, "NoAnswer", f"the answer to {method} {path} is no JSON object: {beginning_of(raw)}")
        return parsed


def _path(resource: Resource, namespace: str | None, name: str = "", subresource: str = "") -> str:
    parts = [resource.prefix, *(("namespaces", namespace) if namespace else ()), resource.plural, name, subresource]
    return "/".join(part for part in parts if part)


async def _read(response: aiohttp.ClientResponse, most: int) -> bytes:
    pieces, size = [], 0
    async for piece in response.content.iter_any():
        pieces.append(piece)
        size += len(piece)
        if size > most:
            response.close()
            raise AnswerTooLargeError(0, "TooLarge", f"the API server's answer has more than {most} bytes")
    return b"".join(pieces)


async def _events(content: aiohttp.StreamReader) -> AsyncIterator[Json]:
    """Give what stands in each line of an answer that goes on; a last line that was cut is left out."""
    rest = b""
    async for piece in content.iter_any():
        *lines, rest = (rest + piece).split(b"\n")
        if len(rest) > MOST_EVENT_BYTES:
            raise ClusterError(0, "TooLarge", "the API server tells of an object that is too large to be one")
        for line in lines:
            if line.strip():
                yield read_json(line)
