"""Results of a batch, as a person reads them."""

import json
import textwrap
from typing import Any

WIDTH = 100


def readable(lines: str) -> str:
    """Give each answer of a results file: its custom_id, its tokens, its text."""
    answers = [json.loads(line) for line in lines.splitlines() if line]
    shown = [_answer(answer) for answer in answers]
    total = sum(_usage(answer).get("total_tokens", 0) for answer in answers)
    return "\n\n".join([*shown, f"{len(answers)} results, {total} tokens"])


def _answer(answer: dict[str, Any]) -> str:
    body, usage = answer["response"]["body"], _usage(answer)
    (choice,) = body["choices"]
    head = (
        f"{answer['custom_id']}  {usage['prompt_tokens']} + {usage['completion_tokens']} tokens, "
        f"{body['model']}, finish_reason {choice['finish_reason']}"
    )
    indent = " " * 4
    text = textwrap.fill(choice["message"]["content"], WIDTH, initial_indent=indent, subsequent_indent=indent)
    return f"{head}\n{text}"


def _usage(answer: dict[str, Any]) -> dict[str, Any]:
    usage: dict[str, Any] = answer["response"]["body"]["usage"]
    return usage
