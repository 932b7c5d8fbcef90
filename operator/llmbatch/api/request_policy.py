"""What a BatchJob's spec says of single requests: which are tried again, and how many must succeed."""

from typing import Annotated, Literal

from pydantic import Field

from llmbatch.api.base import Model

MOST_RETRIES = 5
"""Further attempts at one request."""
MOST_RULES = 20
MOST_CODES = 64
"""Error codes of one rule: a transfer pod is told the policy in an environment variable, which holds 128 KiB."""
RETRIED_STATUS_CODES = frozenset({0, 408, 409, 429, 500, 502, 503, 504})
"""HTTP statuses of requests that are tried again where no rule matches."""
RETRIED_ERROR_CODES = frozenset({"batch_expired", "missing_result"})
"""Error codes of requests that are tried again where no rule matches: their batch expired, or they have no result line."""

Operator = Literal["In", "NotIn"]


class StatusCodes(Model):
    """HTTP statuses of a failed request."""

    operator: Operator = Field(
        description="In: one of the values matches. NotIn: any other does. A failed request without a status matches neither."
    )
    values: list[Annotated[int, Field(ge=0, le=599)]] = Field(
        min_length=1,
        max_length=255,
        description="The response's status_code; 0 is what some providers write for a request that was never run.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )

    def match(self, status: int | None) -> bool:
        """Tell whether a request with this status is meant."""
        return status is not None and (status in self.values) == (self.operator == "In")


class ErrorCodes(Model):
    """Error codes of a failed request, in the provider's own words."""

    operator: Operator = Field(description="In: one of the values matches. NotIn: any other does.")
    values: list[Annotated[str, Field(min_length=1, max_length=64)]] = Field(
        min_length=1,
        max_length=MOST_CODES,
        description="The error's code, as failed requests and status.failures show it; missing_result where the provider"
        " gave no result line, batch_expired where the batch ran out of time.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )

    def match(self, code: str) -> bool:
        """Tell whether a request with this code is meant."""
        return (code in self.values) == (self.operator == "In")


class Rule(Model):
    """What is done about some of the failed requests."""

    rules = (
        (
            "has(self.onStatusCodes) != has(self.onErrorCodes)",
            "exactly one of onStatusCodes, onErrorCodes must be set",
        ),
    )

    action: Literal["Retry", "Fail", "FailJob"] = Field(
        description="Retry: try the request again, at most backoffLimitPerRequest times. Fail: the request has failed, and is"
        " not tried again. FailJob: nothing more is sent, the job's batches are cancelled, what was answered is stored, and"
        " the job is Failed."
    )
    on_status_codes: StatusCodes | None = Field(None, description="The failed requests that are meant, by HTTP status.")
    on_error_codes: ErrorCodes | None = Field(None, description="The failed requests that are meant, by error code.")

    def match(self, status: int | None, code: str) -> bool:
        """Tell whether a failed request is meant."""
        if self.on_status_codes is not None:
            return self.on_status_codes.match(status)
        return self.on_error_codes is not None and self.on_error_codes.match(code)


class RequestFailurePolicy(Model):
    """What is done about failed requests, by their HTTP status or error code."""

    policy_rules: list[Rule] = Field(
        alias="rules",
        min_length=1,
        max_length=MOST_RULES,
        description="The first rule that matches decides. What none matches is tried again if its status is 0, 408, 409, 429,"
        " 500, 502, 503 or 504, if its batch expired, or if it has no result line.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )

    def action(self, status: int | None, code: str) -> Literal["Retry", "Fail", "FailJob"]:
        """Say what is done about a failed request.

        Args:
            status: Its HTTP status, if it has one.
            code: Its error code; the HTTP status where the provider gives none.
        """
        for rule in self.policy_rules:
            if rule.match(status, code):
                return rule.action
        return "Retry" if status in RETRIED_STATUS_CODES or code in RETRIED_ERROR_CODES else "Fail"


class SuccessPolicy(Model):
    """When the job is Complete."""

    min_succeeded: Annotated[int, Field(ge=1)] | Annotated[str, Field(pattern=r"^([1-9][0-9]?|100)%$")] = Field(
        description="Requests that must succeed for the job to be Complete, as a number from 1 or in percent from 1% to 100%,"
        " rounded up. With fewer it is Failed (SuccessPolicyNotMet); what succeeded is stored in every case. More than there are"
        " requests is InvalidInput.",
        json_schema_extra={
            "maxLength": 8,
            "x-kubernetes-int-or-string": True,
            "x-kubernetes-validations": [
                {
                    "rule": "type(self) == int ? self >= 1 : (type(self) == string ? self.matches('^([1-9][0-9]?|100)%$') : false)",
                    "message": "must be a number from 1, or a percentage from 1% to 100%",
                }
            ],
        },
    )

    def least(self, requests: int) -> int:
        """Say how many of so many requests must succeed."""
        if isinstance(self.min_succeeded, int):
            return self.min_succeeded
        percent = int(self.min_succeeded.removesuffix("%"))
        return -(-requests * percent // 100)
