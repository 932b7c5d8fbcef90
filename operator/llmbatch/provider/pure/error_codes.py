"""What each error code of a provider means for a person, and the words that codes and names of members are made of."""

_LINE = "correct that line of the input; the operator's own check names most such lines"

CODES = {
    "invalid_json_line": f"the line is not JSON; {_LINE}",
    "too_many_tasks": "the file holds more requests than the provider allows; lower limits.maxRequestsPerFile or split the input",
    "url_mismatch": "the lines' url differs from each other or from spec.endpoint; make them the same",
    "invalid_url": "the line's url differs from spec.endpoint; make them the same",
    "model_not_found": "the provider has no such deployment or model for batches; correct spec.model or the lines' model",
    "model_mismatch": "the lines name different models; a batch has one: set spec.model or make them the same",
    "duplicate_custom_id": "a custom_id is used twice; make them unique",
    "empty_file": "the file holds no request",
    "empty_batch": "the file holds no request",
    "invalid_request": "a line is not as the endpoint wants it, or the model's deployment is not one for batches",
    "missing_required_parameter": "a member that the endpoint needs is missing in the line",
    "unknown_parameter": "the line has a member that the endpoint doesn't know",
    "unsupported_parameter": "the line has a member that this model doesn't take",
    "unsupported_value": "the line has a value that this model doesn't take",
    "invalid_type": "a member has a value of the wrong type",
    "invalid_value": "a member has a value that is not allowed",
    "streaming_unsupported": "batches can't stream; take \"stream\" out of the line's body",
    "input_modified": "the input was changed after it had been submitted",
    "input_no_permissions": "the provider may not read the input",
    "token_limit_exceeded": "the quota of enqueued tokens is used up; it is free again when other batches have ended, or ask for more",
    "quotaexceeded": "a quota of the provider is used up; delete files that are no longer needed, or ask for more",
    "insufficient_quota": "the provider's budget is used up; see to plan and billing there",
    "billing_hard_limit_reached": "the provider's billing limit is reached; see to billing there",
    "invalidpayload": "the request is not as the provider wants it",
    "jsonlvalidationfailed": "the file is not JSON lines as the provider wants them",
    "fileimportfailed": "the provider could not take the file in",
    "operationnotsupported": "the model's deployment doesn't serve this endpoint; batches need a deployment of a batch type",
    "deploymentnotfound": "the provider has no such deployment; correct spec.model or the lines' model",
    "invalid_api_key": "the provider doesn't know the key",
    "content_filter": "the provider's content filter refused it",
    "batch_expired": "the completion window was over before the request's turn",
    "batch_cancelled": "the batch was cancelled before the request's turn",
}
"""What documented codes mean, in our own words."""

_CODE_WORDS = (
    "a access already api azure bad batch batches billing body cancelled canceled client code completion conflict"
    " connection content context count credentials custom deleted deployment did does document duplicate empty endpoint"
    " enqueued entity error exceeded exist exists expired failed failure field file files filter filtered for forbidden"
    " format found gateway hard has http id import in input insufficient integer internal invalid is item json jsonl key"
    " large length limit limited line loaded long malformed max maximum messages method mismatch missing model modified"
    " name no not object of on operation organization other output over overloaded param parameter parse payload pending"
    " permission permissions policy prompt quota rate reached read refused request requests required reset resource"
    " responsible ai response result results route row rows running schema server service size state status streaming string"
    " subscription supported tasks temporarily timeout timed out to token tokens too tool tools too type unauthorized"
    " unavailable unexpected unknown unprocessable unreadable unsupported upload upstream url user validation value version"
    " violation window wrong"
)

CODE_WORDS = frozenset(_CODE_WORDS.split())
"""The words that codes are put together of; none of them says anything about an input."""

_MEMBERS = (
    "custom_id method url body model messages role content stream stream_options endpoint completion_window metadata"
    " input_file_id file_id file purpose max_tokens max_completion_tokens max_output_tokens temperature top_p n tools tool"
    " tool_choice tool_calls tool_call_id response_format json_schema schema strict dimensions encoding_format prompt seed"
    " stop store reasoning reasoning_effort effort text format type name function functions function_call parameters"
    " logprobs top_logprobs logit_bias presence_penalty frequency_penalty parallel_tool_calls input instructions"
    " previous_response_id truncation include user service_tier image_url detail audio modalities prediction"
    " output_expires_after expires_after anchor seconds limit after order api-version data verbosity"
)

MEMBERS = frozenset(_MEMBERS.split())
"""Names that the API gives its members."""
