"""Requests and tokens, counted."""

from collections.abc import Iterable
from typing import Self

from pydantic import Field

from llmbatch.api.base import Model


class RequestCounts(Model):
    """Requests of the batch. While it runs: as the provider tells. At the end: as counted from the result lines."""

    total: int = Field(description="Requests in the input.")
    completed: int = Field(description="Requests that succeeded (status_code 200 and no error).")
    failed: int = Field(description="Requests that failed; one without a result line counts as failed.")
    retried: int | None = Field(
        None,
        description="Requests that were sent again at least once, see spec.backoffLimitPerRequest; absent without any.",
    )


class Usage(Model):
    """Tokens used, summed over the answers."""

    input_tokens: int = Field(description="Tokens read (prompt_tokens or input_tokens).")
    output_tokens: int = Field(description="Tokens written (completion_tokens or output_tokens).")
    total_tokens: int = Field(description="Tokens in all.")

    @classmethod
    def sum(cls, told: Iterable[Self | None]) -> Self | None:
        """Add up what was told; None when nothing was."""
        known = [item for item in told if item is not None]
        if not known:
            return None
        return cls(
            input_tokens=sum(item.input_tokens for item in known),
            output_tokens=sum(item.output_tokens for item in known),
            total_tokens=sum(item.total_tokens for item in known),
        )
