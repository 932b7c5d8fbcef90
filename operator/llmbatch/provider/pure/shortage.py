"""Refusals that pass by: of quota, of billing, and of a file that the provider doesn't know yet; by HTTP or in a batch's errors.

Codes are compared without case and punctuation; of messages only phrases that no validation of an input has.
"""

import re
from collections.abc import Iterable

from llmbatch.api.reasons import Reason
from llmbatch.provider.pure.wire import BatchError

_BILLING = (
    "billing", "insufficientquota", "insufficientfunds", "insufficientbalance", "insufficientcredit", "paymentrequired",
    "budgetexceeded", "spendlimit", "spendinglimit", "subscriptiondisabled", "disabledsubscription", "accountdeactivated",
    "subscriptionsuspended", "accountsuspended",
)  # fmt: skip
_BILLING_SAID = (
    "billing_hard_limit_reached", "billing hard limit", "insufficient_quota", "billing_not_active", "billing is not active",
    "check your plan and billing", "check your billing", "credit balance is too low", "budget has been exceeded",
    "payment required", "subscription is disabled", "subscription has been disabled",
)  # fmt: skip
_QUOTA = (
    "tokenlimitexceeded",
    "enqueuedtoken",
    "quotaexceeded",
    "ratelimit",
    "toomanyrequests",
    "batchlimit",
    "toomanybatches",
)
_QUOTA_SAID = (
    "token_limit_exceeded",
    "quotaexceeded",
    "enqueued token",
    "enqueued tokens has surpassed",
    "rate_limit_exceeded",
)
_FILE_CODES = ("filenotfound", "inputfilenotfound", "invalidfileid", "invalidinputfileid", "nosuchfile", "unknownfile")
_MISSING = re.compile(
    r"no such|not found|not_found|notfound|can ?not find|can't find|could not find|couldn't find|unable to find|not exist"
    r"|doesn't exist|unknown|no file|invalid file id|invalid_file_id|not available|not yet"
)
_OTHERS = re.compile(r"deployment|\bmodel\b|endpoint|invalid url|no route|resource not found")


def of(code: str | None, message: str, status: int | None = None) -> Reason | None:
    """Tell what a refusal is short of: BILLING_LIMIT, QUOTA_EXCEEDED, or None for neither."""
    plain, said = _plain(code), message.lower()
    if status == 402 or any(word in plain for word in _BILLING) or any(words in said for words in _BILLING_SAID):
        return Reason.BILLING_LIMIT
    if any(word in plain for word in _QUOTA) or any(words in said for words in _QUOTA_SAID):
        return Reason.QUOTA_EXCEEDED
    return None


def lacks_file(code: str | None, message: str, *, is_object: bool = False) -> bool:
    """Tell whether a refusal to make a batch says that there is no such file.

    Args:
        code: The refusal's code.
        message: Its words.
        is_object: It is the provider's own 404, so that something which the call names is missing.
    """
    plain, said = _plain(code), message.lower()
    if any(word in plain for word in _FILE_CODES):
        return True
    names_file = "file" in said.replace("profile", "")
    if is_object and not (_OTHERS.search(said) and not names_file):
        return "deployment" not in plain and "model" not in plain
    return names_file and _MISSING.search(said) is not None


def of_batch(errors: Iterable[BatchError]) -> Reason | None:
    """Tell what a failed batch was short of, if all its errors say so: BILLING_LIMIT, QUOTA_EXCEEDED, FILE_PENDING."""
    found: set[Reason] = set()
    for error in errors:
        reason = None
        if error.line is None:  # what is about a line may repeat it
            reason = of(error.code, error.message)
            about_file = error.param in (None, "file_id", "input_file_id", "file")
            if reason is None and about_file and lacks_file(error.code, error.message):
                reason = Reason.FILE_PENDING
        if reason is None:
            return None
        found.add(reason)
    order = (Reason.BILLING_LIMIT, Reason.QUOTA_EXCEEDED, Reason.FILE_PENDING)
    return next((reason for reason in order if reason in found), None)


def _plain(code: str | None) -> str:
    return re.sub(r"[^a-z0-9]", "", (code or "").lower())
