"""Of a BatchGateway that is gone nothing is kept: users make them, and go on making others."""

import asyncio
import gc
import weakref
from pathlib import Path

from llmbatch.gateway.clients import Client
from llmbatch.process.runtime import Runtime
from llmbatch.provider.edge.client import Gateway
from llmbatch.runtime.cache import BATCHGATEWAY
from llmbatch.runtime.queue import Key
from llmbatch.settings import Settings
from tests.controller.conftest import FIVE
from tests.emulator.client import Instance
from tests.support import build
from tests.support.apiserver import ApiServer
from tests.support.inprocess import NAMESPACE, Operator, apply_all, cluster_of, secret

KEY = Key(BATCHGATEWAY, NAMESPACE, "kong")


async def client_of(runtime: Runtime) -> "weakref.ref[Gateway]":
    found = await runtime.gateways.use(NAMESPACE, "kong", None)
    assert isinstance(found, Client)
    return weakref.ref(found.gateway)


async def test_its_client_goes_though_its_lists_were_read(operator: Operator, api: ApiServer, kong: Instance) -> None:
    apply_all(api, kong, FIVE, build.batchjob(), build.batchjob_apart("other"))
    await operator.until(lambda: operator.batch("job").id, "job")
    await operator.until(lambda: operator.batch("other").id, "other")
    kong.advance(3600)
    for name in ("job", "other"):
        await operator.until_ended(name)
    client = await client_of(operator.runtime)
    assert client() is not None
    for name in ("job", "other"):
        api.remove("batchjobs", name)
        await operator.until_gone(name)
    api.remove("batchgateways", "kong")

    def is_gone() -> bool:
        gc.collect()
        return client() is None

    await operator.until(is_gone, None)


async def test_no_client_is_kept_that_was_made_too_late(api: ApiServer, tmp_path: Path) -> None:
    cluster = cluster_of(api)
    runtime = Runtime(Settings(), cluster, tmp_path)
    api.put("secrets", secret("key", token="t"))
    headers = [{"name": "apikey", "valueFrom": {"secretKeyRef": {"name": "key", "key": "token"}}}]
    await runtime.news.changed(
        "ADDED", KEY, api.put("batchgateways", build.batchgateway("https://kong.invalid", headers=headers))
    )
    late = api.fault("late", "get", "secrets")
    making = asyncio.create_task(client_of(runtime))
    await late.met()
    await runtime.news.changed("DELETED", KEY, {"metadata": {}})
    assert await runtime.reconciler.health.reconcile(KEY) is None
    late.released.set()
    client = await making
    gc.collect()
    assert client() is None
    await runtime.gateways.close()
    await cluster.close()
