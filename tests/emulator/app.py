"""The ASGI application: finds the instance and the operation, lets the faults strike, sends the answer."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable

from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope, Send

from tests.emulator import batch_operations, control, faults, file_operations, protocol, reply, route, sending
from tests.emulator.calls import Call
from tests.emulator.exchange import BodyTooLargeError, Exchange
from tests.emulator.faults import Fault
from tests.emulator.instance import DEFAULT, Instance, Instances
from tests.emulator.reply import Reply

SERVED_BELOW = "/i/"

OPERATIONS: dict[str, Callable[[Exchange], Awaitable[Reply]]] = {
    "files.create": file_operations.create,
    "files.list": file_operations.list_files,
    "files.get": file_operations.get,
    "files.content": file_operations.content,
    "files.delete": file_operations.delete,
    "batches.create": batch_operations.create,
    "batches.list": batch_operations.list_batches,
    "batches.get": batch_operations.get,
    "batches.cancel": batch_operations.cancel,
}
INSTEAD = ("status", "not_json")  # of doing anything


class Emulator:
    def __init__(self, instances: Instances) -> None:
        self._instances = instances

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        path = request.url.path
        if path == "/healthz":
            await sending.send(request, send, Reply(200, {"status": "ok"}))
        elif path.startswith(control.BASE):
            await sending.send(request, send, await control.answer(request, self._instances))
        elif path.startswith(SERVED_BELOW):
            name, _, rest = path.removeprefix(SERVED_BELOW).partition("/")
            instance = self._instances.get(name)
            if instance is None:
                unknown = Reply(404, {"detail": f"The emulator has no instance named {name!r}."})
                await sending.send(request, send, unknown)
            else:
                await self._serve(request, send, instance, f"{SERVED_BELOW}{name}", f"/{rest}")
        else:
            default = self._instances.get(DEFAULT)
            assert default is not None, "the default instance always exists"
            await self._serve(request, send, default, "", path)

    async def _serve(self, request: Request, send: Send, instance: Instance, mount: str, path: str) -> None:
        query = dict(request.query_params)
        headers = dict(request.headers)
        request_id = uuid.uuid4().hex
        found = route.find(instance.config, request.method, path, query, request_id)
        operation = None if isinstance(found, Reply) else found.operation
        call = Call(operation, request.method, path, query, headers, request_id)
        instance.calls.add(call)
        began = time.monotonic()
        fault = instance.faults.hit(operation, path) if operation else None
        try:
            if isinstance(found, Reply):
                await sending.drain(request)
                answer: Reply | None = found
            else:
                exchange = Exchange(instance, found, request, call, mount)
                answer = await self._answer(exchange, fault)
            if answer is None:
                await protocol.reset(request)
                return
            answer.headers |= sending.signature(instance.config, answer, request_id)
            call.status = answer.status
            await sending.send(request, send, answer, fault)
        except ClientDisconnect:
            return
        finally:
            call.seconds = time.monotonic() - began

    @staticmethod
    async def _read(exchange: Exchange) -> None:
        """Read a call of which nothing will come; the record says what was ordered."""
        if exchange.call.operation == "batches.create":
            exchange.call.body = await exchange.json()
        else:
            await sending.drain(exchange.request)

    async def _answer(self, exchange: Exchange, fault: Fault | None) -> Reply | None:
        """None: there is none, and the connection is to be reset."""
        kind = None
        if fault is not None:
            kind = exchange.call.fault = fault.kind
            if kind == "reset_before":
                # An upload breaks while it is sent; a small call when it is sent and waits for its answer.
                if exchange.call.operation != "files.create":
                    await self._read(exchange)
                return None
            if kind == "delay":
                await asyncio.sleep(fault.seconds or 0)
            if kind in INSTEAD:
                await self._read(exchange)
                return faults.answer(fault, exchange.config, exchange.call.request_id)
        if fault is not None and kind == "repeat":
            await self._repeat_first(exchange, fault)
        answer = await self._operate(exchange)
        if fault is not None:
            if kind == "reset_after":
                return None
            if kind == "hang_after":
                await asyncio.sleep(fault.seconds or 0)
            if kind == "accepted_status" or (kind == "repeat" and fault.status is not None):
                return faults.answer(fault, exchange.config, exchange.call.request_id)
            if kind == "garbled":
                return faults.garbled(fault, answer)
        return answer

    async def _repeat_first(self, exchange: Exchange, fault: Fault) -> None:
        """Do it once more than the client asked: a proxy on the way lost the first answer, and the client sees the second."""
        await exchange.request.body()  # kept there, so that it can be read twice
        await self._operate(exchange)
        if exchange.call.answer_id is not None:
            exchange.call.unseen_ids.append(exchange.call.answer_id)
        await asyncio.sleep(fault.seconds or 0)

    async def _operate(self, exchange: Exchange) -> Reply:
        request, config = exchange.request, exchange.config
        headers, query = dict(request.headers), dict(request.query_params)
        refusal = route.refuse(config, headers, query, exchange.call.request_id)
        if refusal is not None:
            await sending.drain(request)
            return refusal
        try:
            return await OPERATIONS[exchange.route.operation](exchange)
        except BodyTooLargeError:
            await sending.drain(request)
            return reply.kong_error(413, "Payload too large", exchange.call.request_id)
