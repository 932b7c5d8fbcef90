"""Which refusals pass by themselves, with a person's help, or never; by their codes and words."""

import pytest

from llmbatch.api.reasons import Reason
from llmbatch.provider.pure import shortage
from llmbatch.provider.pure.wire import BatchError

BILLING = [
    ("billing_hard_limit_reached", "Billing hard limit has been reached."),
    ("insufficient_quota", "You exceeded your current quota, please check your plan and billing details."),
    (None, "You exceeded your current quota, please check your plan and billing details."),
    ("billing_not_active", "Your account is not active, please check your billing details on our website."),
    ("BillingNotActive", ""),
    ("ReadOnlyDisabledSubscription", "The subscription is disabled and therefore marked as read only."),
    ("budget_exceeded", "Budget has been exceeded! Current cost: 10.1, Max budget: 10.0"),
    ("invalid_request_error", "Your credit balance is too low to access the API."),
]
QUOTA = [
    ("token_limit_exceeded", "The number of enqueued tokens has surpassed the configured limit of 30K."),
    (None, "Enqueued token limit reached for gpt-4o-mini in organization org-1. Limit: 2,000,000 enqueued tokens."),
    ("TokenLimitExceeded", ""),
    ("quotaExceeded", "The quota for files without expiry is reached."),
    ("rate_limit_exceeded", ""),
    ("too_many_requests", ""),
]
NO_FILE = [
    ("invalid_request", "Cannot find file file-1, or organization org-1 does not have access to it."),
    ("notFound", "The file 'file-1' was not found."),
    (None, "No such File object: file-1"),
    ("invalid_request_error", "No such file"),
    ("file_not_found", ""),
    ("400", "Input file with id file-1 does not exist."),
    (None, "Could not find the input file."),
]
OTHERS = [
    ("invalid_json_line", "This line is not parseable as valid JSON."),
    ("model_not_found", "The provided model 'x' is not supported by the Batch API."),
    ("DeploymentNotFound", "The API deployment for this resource does not exist."),
    ("too_many_tasks", "The batch has too many requests."),
    ("empty_file", "The input file is empty."),
    (None, ""),
]


@pytest.mark.parametrize(("code", "message"), BILLING)
def test_billing(code: str | None, message: str) -> None:
    assert shortage.of(code, message) is Reason.BILLING_LIMIT


@pytest.mark.parametrize(("code", "message"), QUOTA)
def test_quota(code: str | None, message: str) -> None:
    assert shortage.of(code, message) is Reason.QUOTA_EXCEEDED


@pytest.mark.parametrize(("code", "message"), NO_FILE)
def test_a_file_that_is_not_known(code: str | None, message: str) -> None:
    assert shortage.of(code, message) is None
    assert shortage.lacks_file(code, message)
    assert shortage.of_batch([BatchError(code=code or "unknown", message=message)]) is Reason.FILE_PENDING


@pytest.mark.parametrize(("code", "message"), OTHERS)
def test_what_does_not_pass(code: str | None, message: str) -> None:
    assert shortage.of(code, message) is None
    assert not shortage.lacks_file(code, message)
    assert shortage.of_batch([BatchError(code=code or "unknown", message=message)]) is None


def test_the_providers_own_404_of_a_create_call_is_about_the_file_unless_it_says_otherwise() -> None:
    assert shortage.lacks_file("404", "Not found", is_object=True)
    assert not shortage.lacks_file("404", "Not found")
    assert not shortage.lacks_file("model_not_found", "No such model.", is_object=True)
    assert not shortage.lacks_file(None, "No such deployment.", is_object=True)


def test_a_batch_passes_only_if_all_its_errors_do_and_none_is_about_a_line() -> None:
    quota, billing = (
        BatchError(code="token_limit_exceeded", message=""),
        BatchError(code="insufficient_quota", message=""),
    )
    bad = BatchError(code="invalid_json_line", message="bad", line=2)
    assert shortage.of_batch([quota, billing]) is Reason.BILLING_LIMIT
    assert shortage.of_batch([quota, bad]) is None
    assert shortage.of_batch([BatchError(code="x", message="insufficient_quota", line=1)]) is None
    assert shortage.of_batch([]) is None
