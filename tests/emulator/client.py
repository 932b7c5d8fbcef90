"""The control API for tests, over HTTP: the same against a server in this process and one in a pod."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any

import httpx


class Instance:
    """One instance of a running emulator."""

    def __init__(self, emulator_url: str, name: str, *, verify: ssl.SSLContext | bool = True) -> None:
        self.name = name
        self.url = emulator_url.rstrip("/") if name == "default" else f"{emulator_url.rstrip('/')}/i/{name}"
        self._control = f"{emulator_url.rstrip('/')}/_emulator/instances/{name}"
        # Loading the public CAs takes longer than most of the calls.
        self._verify = verify if emulator_url.startswith("https:") else False

    def _ask(self, method: str, path: str = "", body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        # Not the environment: pytest changes it under threads that look at it.
        answer = httpx.request(
            method, f"{self._control}{path}", json=body, verify=self._verify, timeout=60, trust_env=False
        )
        if answer.is_error:
            raise ValueError(f"{method} {path or self.name}: {answer.status_code} {answer.text}")
        shown: dict[str, Any] = answer.json()
        return shown

    def reset(self, **config: object) -> Instance:
        """Make it, or forget everything in it."""
        self._ask("PUT", body=config)
        return self

    def show(self) -> dict[str, Any]:
        return self._ask("GET")

    def configure(self, **changes: object) -> None:
        self._ask("PATCH", "/config", changes)

    def advance(self, seconds: float) -> None:
        self._ask("POST", "/advance", {"seconds": seconds})

    def calls(self, operation: str | None = None) -> list[dict[str, Any]]:
        calls: list[dict[str, Any]] = self._ask("GET", "/calls")["calls"]
        return [call for call in calls if operation in (None, call["operation"])]

    def clear_calls(self) -> None:
        self._ask("DELETE", "/calls")

    def fault(self, kind: str, operation: str = "*", **details: object) -> None:
        """Add a fault; `as_` stands for the key `as`."""
        if "as_" in details:
            details["as"] = details.pop("as_")
        self._ask("POST", "/faults", {"kind": kind, "operation": operation, **details})

    def faults(self) -> list[dict[str, Any]]:
        faults: list[dict[str, Any]] = self._ask("GET", "/faults")["faults"]
        return faults

    def clear_faults(self) -> None:
        self._ask("DELETE", "/faults")

    def batches(self) -> list[dict[str, Any]]:
        batches: list[dict[str, Any]] = self._ask("GET", "/batches")["batches"]
        return batches

    def insert_batch(self, **batch: object) -> dict[str, Any]:
        """A batch that no recorded call made; with `count` so many, of which the last one made, the oldest, is shown."""
        return self._ask("POST", "/batches", batch)

    def files(self) -> list[dict[str, Any]]:
        files: list[dict[str, Any]] = self._ask("GET", "/files")["files"]
        return files


def make_instance(
    emulator_url: str, name: str, config: Mapping[str, object], *, verify: ssl.SSLContext | bool = True
) -> Instance:
    return Instance(emulator_url, name, verify=verify).reset(**config)
