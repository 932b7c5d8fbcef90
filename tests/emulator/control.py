"""The control API below /_emulator: makes, shows and changes instances. Its errors are {"detail": ...}."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from starlette.requests import Request

from tests.emulator import batch_operations, faults, progress, shapes
from tests.emulator.config import Config, ConfigError
from tests.emulator.instance import NAME, Instance, Instances
from tests.emulator.records import BatchRecord
from tests.emulator.reply import Reply

BASE = "/_emulator"
INSERTED = {"age_seconds", "status", "input_file_id", "endpoint", "completion_window", "metadata"}


async def answer(request: Request, instances: Instances) -> Reply:
    parts = request.url.path.removeprefix(BASE).strip("/").split("/")
    try:
        body = await _json(request)
        match request.method, parts:
            case "GET", ["instances"]:
                return Reply(200, {"instances": instances.names()})
            case "PUT", ["instances", name]:
                if not NAME.fullmatch(name):
                    return Reply(400, {"detail": f"An instance can't be named {name!r}: use {NAME.pattern}"})
                return Reply(200, instances.make(name, Config().merged(body)).as_json())
            case _, ["instances", name, *rest]:
                instance = instances.get(name)
                if instance is None:
                    return Reply(404, {"detail": f"The emulator has no instance named {name!r}."})
                return await _of_instance(request.method, rest, instance, body)
    except ConfigError as problem:
        return Reply(400, {"detail": str(problem)})
    return _nothing_here()


async def _json(request: Request) -> dict[str, Any]:
    content = await request.body()
    try:
        value = json.loads(content) if content else {}
    except ValueError as problem:
        raise ConfigError(f"The body is not JSON: {problem}") from problem
    if not isinstance(value, dict):
        raise ConfigError("The body has to be a JSON object.")
    return value


async def _of_instance(method: str, rest: list[str], instance: Instance, body: dict[str, Any]) -> Reply:
    match method, rest:
        case "GET", []:
            return Reply(200, instance.as_json())
        case "PATCH", ["config"]:
            instance.configure(instance.config.merged(body))
            return Reply(200, instance.as_json())
        case "POST", ["advance"]:
            seconds = body.get("seconds")
            if not isinstance(seconds, int | float):
                raise ConfigError("seconds: expected a number")
            instance.advance(seconds)
            return Reply(200, {"now": instance.now()})
        case "GET", ["calls"]:
            return Reply(200, {"calls": instance.calls.as_json()})
        case "DELETE", ["calls"]:
            instance.calls.clear()
            return Reply(200, {"calls": []})
        case "GET", ["files"]:
            return Reply(200, {"files": _files(instance)})
        case _, ["faults"]:
            return _faults(method, instance, body)
        case _, ["batches"]:
            return await _batches(method, instance, body)
    return _nothing_here()


def _files(instance: Instance) -> list[dict[str, Any]]:
    now = instance.now()
    return [
        {**shapes.file_object(record, instance.config, now), "bytes": record.bytes, "deleted": record.deleted}
        for record in instance.files.values()
    ]


def _faults(method: str, instance: Instance, body: dict[str, Any]) -> Reply:
    match method:
        case "POST":
            instance.faults.add(faults.parse(body))
        case "DELETE":
            instance.faults.clear()
        case "GET":
            pass
        case _:
            return _nothing_here()
    return Reply(200, {"faults": instance.faults.as_json()})


async def _batches(method: str, instance: Instance, body: dict[str, Any]) -> Reply:
    match method:
        case "POST":
            count, apart = body.pop("count", 1), body.pop("apart_seconds", 1)
            for number in range(count):
                age = body.get("age_seconds", 0) + number * apart
                batch = _inserted(instance, {**body, "age_seconds": age})
                instance.keep_batch(batch)
            return Reply(200, _as_json(batch, instance))
        case "GET":
            settled = [await progress.settle(instance, batch_id) for batch_id in list(instance.batches)]
            return Reply(200, {"batches": [_as_json(batch, instance) for batch in settled]})
    return _nothing_here()


def _as_json(batch: BatchRecord, instance: Instance) -> dict[str, Any]:
    """The record itself, so that a judge sees what is, quirks and lags aside; and the object that a client sees."""
    return {**dataclasses.asdict(batch), "object": shapes.batch_object(batch, instance.config, instance.now())}


def _inserted(instance: Instance, body: dict[str, Any]) -> BatchRecord:
    """A batch that no call of the record made: somebody else's, or a lost POST's."""
    if unknown := sorted(set(body) - INSERTED):
        raise ConfigError(f"{unknown[0]}: no such key; there are: {', '.join(sorted(INSERTED))}")
    given = {"input_file_id": "file-foreign", "endpoint": "/v1/chat/completions", "completion_window": "24h", **body}
    batch = batch_operations.new_batch(instance, given)
    age = body.get("age_seconds", 0)
    batch.created -= age
    batch.since = batch.created
    if "status" in body:
        batch.enter(body["status"], batch.created)
    return batch


def _nothing_here() -> Reply:
    return Reply(404, {"detail": "The emulator's control API has nothing there; its README lists what it has."})
