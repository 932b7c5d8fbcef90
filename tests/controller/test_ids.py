"""A provider whose batches have ids that no path can hold: none of them is made twice."""

from collections.abc import AsyncIterator

import httpx
import pytest
from aiohttp import web

from llmbatch.api.reasons import Reason
from tests.controller.conftest import FIVE
from tests.emulator.client import Instance
from tests.support import build
from tests.support.apiserver import ApiServer
from tests.support.inprocess import Operator, apply_all


@pytest.fixture
async def renaming(kong: Instance) -> AsyncIterator[str]:
    """A proxy before the gateway that gives batches ids with a slash, as other clouds have them."""

    async def pass_on(request: web.Request) -> web.Response:
        headers = {name: request.headers[name] for name in ("Content-Type", "Accept") if name in request.headers}
        async with httpx.AsyncClient() as client:
            answer = await client.request(
                request.method, f"{kong.url}{request.rel_url}", headers=headers, content=await request.read()
            )
        body = answer.content.replace(b'"batch_', b'"jobs/batch_')
        return web.Response(body=body, status=answer.status_code, headers={"Content-Type": "application/json"})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", pass_on)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def test_a_batch_of_ours_whose_id_cant_be_used_is_never_taken_for_one_that_was_not_made(
    operator: Operator, api: ApiServer, kong: Instance, renaming: str
) -> None:
    apply_all(api, kong, FIVE)
    api.put("batchgateways", build.batchgateway(renaming))
    await operator.until_reason(Reason.SUBMISSION_UNKNOWN)
    await operator.quiet()
    assert operator.status().holds("Stalled")
    assert operator.status().submission is not None
    assert len(kong.calls("batches.create")) == 1
    ready = operator.status().condition("Ready")
    assert ready is not None
    assert "characters that no id may have" in ready.message
