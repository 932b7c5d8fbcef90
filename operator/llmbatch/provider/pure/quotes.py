"""Whether a provider's message repeats what was asked: then it holds a prompt, and no status may show it.

The message stays where the user keeps the failed lines; only the few examples in the status are looked at here.
"""

import re

from llmbatch.api.batchjob_status import Failure
from llmbatch.common.comparing import repeats
from llmbatch.jsonl import results
from llmbatch.provider.pure import words

QUOTED = "(not shown: the provider's message quotes the request; it is kept with the failed requests)"
UNCHECKED = "(not shown: the request can't be read to compare; the provider's message is kept with the failed requests)"

_OURS = re.compile(r"(HTTP status [0-9]{1,3}|\(too long to be shown\))?")


def checked(failure: Failure, request: object) -> Failure:
    """Give a failed request's example as it may be shown, having its request."""
    code = failure.code
    if words.code_of(code) != code and repeats(code, request):
        code = words.OTHER
    message = failure.message
    if not is_ours(message) and repeats(message, request):
        # A sentence that is known is told without what was filled in.
        message = words.sentence(message) or QUOTED
    return failure.model_copy(update={"code": code, "message": message})


def unchecked(failure: Failure) -> Failure:
    """Give a failed request's example as it may be shown, not having its request."""
    message = failure.message if is_ours(failure.message) else UNCHECKED
    return failure.model_copy(update={"code": words.code_of(failure.code), "message": message})


def is_ours(message: str) -> bool:
    """Tell whether a failure's message is not the provider's at all."""
    ours = {results.MISSING_MESSAGE, results.UNREADABLE.message, results.NO_ANSWER, results.QUOTES_ANSWER}
    return message in ours or _OURS.fullmatch(message) is not None
