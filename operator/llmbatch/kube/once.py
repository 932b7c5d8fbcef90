"""Questions to the API server that the looks at a job's several batches have in common: asked once in a pass."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

Answer = TypeVar("Answer")


class Once:
    """Holds the answers of one pass."""

    def __init__(self) -> None:
        """Begin with nothing asked."""
        self._asked: dict[tuple[str, ...], asyncio.Task[Any]] = {}

    async def ask(self, question: tuple[str, ...], answer: Callable[[], Coroutine[Any, Any, Answer]]) -> Answer:
        """Give the answer to a question, which is asked if it has not been yet; an error is everybody's."""
        if question not in self._asked:
            self._asked[question] = asyncio.create_task(answer())
        found: Answer = await self._asked[question]
        return found
