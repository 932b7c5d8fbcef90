"""What is sent of an input, and what is said of it."""

import pytest

from llmbatch.api.reasons import Reason
from tests.controller.conftest import FIVE
from tests.emulator.client import Instance
from tests.support import build
from tests.support.apiserver import ApiServer
from tests.support.inprocess import Operator, apply_all, secret

UNCLEAN = b"\xef\xbb\xbf" + FIVE.replace(b"\n", b" \r\n\r\n")


@pytest.mark.parametrize("kind", ["configMap", "secret"])
async def test_status_says_that_the_input_was_cleaned(
    operator: Operator, api: ApiServer, kong: Instance, kind: str
) -> None:
    api.put("secrets", secret("prompts", **{"batch.jsonl": UNCLEAN.decode()}))
    job = build.batchjob(input={kind: {"name": "prompts", "key": "batch.jsonl"}})
    apply_all(api, kong, UNCLEAN, job)
    await operator.until(lambda: operator.status().summary.submission_time)
    found = operator.status().input
    assert found is not None
    assert (found.cleaned, found.bytes, found.requests) == (True, len(FIVE), 5)
    kong.advance(3600)
    await operator.until_ended()
    assert operator.reason() == Reason.SUCCEEDED


async def test_nothing_but_blank_lines_is_an_invalid_input(operator: Operator, api: ApiServer, kong: Instance) -> None:
    apply_all(api, kong, b"\xef\xbb\xbf\r\n \n\n")
    await operator.until_ended()
    assert operator.reason() == Reason.INVALID_INPUT
    assert kong.calls("files.create") == []


async def test_the_gateways_limit_of_a_line_is_its_own(operator: Operator, api: ApiServer, kong: Instance) -> None:
    long = FIVE.replace(b"Say hello.", b"x" * 2000, 1)
    apply_all(api, kong, long, limits={"maxLineBytes": 1024})
    await operator.until_ended()
    assert operator.reason() == Reason.INVALID_INPUT
    failed = operator.status().condition("Failed")
    assert failed is not None
    assert "line 1: the line is longer than 1024 bytes" in failed.message
    assert "limits.maxLineBytes" in failed.message
