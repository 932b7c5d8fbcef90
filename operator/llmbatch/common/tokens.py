"""How many tokens a request is estimated to take of a deployment's quota, from its line alone.

Providers add up the tokens of what is enqueued before anything has run: those of the prompt, and as many as the answer may
have. Theirs is an estimate too; what is left out here (pictures, sounds, files, tools) they count by rules of their own.
"""

from typing import Any

BYTES_PER_TOKEN = 4
"""Of English text, roughly; limits.bytesPerToken of a BatchGateway says otherwise."""
ANSWER_TOKENS = 256
"""What an answer is taken for where the request sets no limit."""
_PROMPT = ("messages", "input", "prompt", "instructions")
_ANSWER = ("max_completion_tokens", "max_output_tokens", "max_tokens")
_ANSWERS, MOST_ANSWERS = ("n", "best_of"), 128
"""How many answers to one prompt are made, and paid for; providers take no more."""
_NO_TEXT = frozenset({"image_url", "input_audio", "file", "file_data", "image", "type", "role", "id"})
"""Members of a prompt whose texts are no text of the prompt."""


def estimate(body: dict[str, Any], bytes_per_token: int = BYTES_PER_TOKEN) -> int:
    """Estimate a request's tokens: bytes of its prompt, divided and rounded up, and the longest answers that it asks for.

    Args:
        body: The request as the endpoint expects it; anything in it may be of any type.
        bytes_per_token: Bytes of UTF-8 for each token.
    """
    size = 0
    found = [body[name] for name in _PROMPT if name in body]
    while found:
        item = found.pop()
        if isinstance(item, str):
            size += len(item) if item.isascii() else len(item.encode("utf-8", "surrogatepass"))
        elif isinstance(item, dict):
            found += [value for name, value in item.items() if name not in _NO_TEXT]
        elif isinstance(item, list):
            found += item
        elif isinstance(item, int):
            size += bytes_per_token  # a prompt may be given as tokens
    return -(-size // bytes_per_token) + _answer(body) * _answers(body)


def _answer(body: dict[str, Any]) -> int:
    for name in _ANSWER:
        limit = body.get(name)
        if isinstance(limit, int | float) and not isinstance(limit, bool) and 0 <= limit < 1e9:
            return int(limit)
    return ANSWER_TOKENS


def _answers(body: dict[str, Any]) -> int:
    found = [body.get(name) for name in _ANSWERS]
    return max((count for count in found if type(count) is int and 0 < count <= MOST_ANSWERS), default=1)
