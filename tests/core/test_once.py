"""Questions that several batches have in common are asked once in a pass."""

import asyncio

import pytest

from llmbatch.kube.once import Once


async def test_all_who_ask_get_the_one_answer() -> None:
    once, asked = Once(), list[str]()

    async def answer() -> int:
        asked.append("how many?")
        await asyncio.sleep(0)
        return len(asked)

    answers = await asyncio.gather(*(once.ask(("how many",), answer) for _ in range(3)))
    assert (answers, await once.ask(("how many",), answer), asked) == ([1, 1, 1], 1, ["how many?"])
    assert await once.ask(("another",), answer) == 2


async def test_an_error_is_everybodys() -> None:
    once = Once()

    async def answer() -> int:
        raise ValueError("away")

    found = await asyncio.gather(*(once.ask(("how many",), answer) for _ in range(2)), return_exceptions=True)
    assert [str(error) for error in found] == ["away", "away"]
    with pytest.raises(ValueError, match="away"):
        await once.ask(("how many",), answer)
