"""Every reason llmbatch gives, for conditions, events and metrics alike; each documented where it is declared.

What it means stands beside it, or below it where the line would be too long.
"""

from enum import StrEnum


class Reason(StrEnum):
    """Why an object is in the state it is in: one word, stable, part of the API."""

    # --- under way: nothing to do but wait -------------------------------------------------------------------------
    ACCEPTED = "Accepted"  # The job has been seen; nothing has been done yet.
    UPLOADING = "Uploading"  # The input is being validated and uploaded to the gateway's files route.
    FILE_PENDING = "FilePending"
    """The uploaded file is still being processed by the provider, or not known to all of it yet; a batch can't be made of it
    yet."""
    SUBMITTING = "Submitting"  # The batch is about to be created; the intent to do so is recorded.
    SUBMISSION_PENDING = "SubmissionPending"
    """The answer to the create call was lost; the gateway is being asked whether the batch exists."""
    SUBMITTED = "Submitted"  # The batch exists at the provider and its id is recorded.
    VALIDATING = "Validating"  # The provider is checking the input file.
    IN_PROGRESS = "InProgress"  # The provider is running the requests.
    FINALIZING = "Finalizing"  # The provider is preparing the results.
    CANCELLING = "Cancelling"  # The batch is being cancelled at the provider.
    COLLECTING = "Collecting"  # The results are being downloaded, joined and written to the destination.
    CLEANING_UP = "CleaningUp"  # The results are stored; the remote files are being deleted.
    DELETING = "Deleting"  # The object is being deleted: its batch is cancelled and its remote files are removed first.
    WAITING_FOR_SLOT = "WaitingForSlot"
    """The gateway's maxActiveBatches is reached; the job goes on when another one ends."""
    WAITING_TO_RETRY = "WaitingToRetry"
    """Requests failed in a way that may pass; they are sent again after a delay, see spec.backoffLimitPerRequest."""

    # --- input -----------------------------------------------------------------------------------------------------
    INPUT_VALID = "InputValid"  # Every line of the input was checked; the input has been uploaded.
    INPUT_NOT_FOUND = "InputNotFound"  # The ConfigMap, Secret, key or file that spec.input names does not exist (yet).
    INVALID_INPUT = "InvalidInput"
    """The input can't be sent as it is; the message names the lines and fields. Terminal."""
    ESTIMATE_TOO_HIGH = "EstimateTooHigh"
    """The input is estimated at more tokens than spec.maxEstimatedTokens; nothing was sent. Terminal."""
    UPLOAD_UNANSWERED = "UploadUnanswered"
    """The input was sent several times and no answer says that it was stored; each time may have left a copy. Tried again
    with growing delays, at once when the BatchJob or the BatchGateway is changed."""
    INPUT_CHANGED = "InputChanged"
    """The input was changed while it was read, and is read again; or after it was cut into parts: put it back as it was."""

    # --- gateway ---------------------------------------------------------------------------------------------------
    GATEWAY_READY = "GatewayReady"  # Both routes answer as a Files and a Batches API and accept the credentials.
    GATEWAY_NOT_FOUND = "GatewayNotFound"  # The BatchGateway that spec.gatewayRef names does not exist (yet).
    GATEWAY_INVALID = "GatewayInvalid"
    """The BatchGateway's spec can't be used as it is, for example a client certificate that can't be read."""
    GATEWAY_UNREACHABLE = "GatewayUnreachable"
    """No answer from the gateway: name not found, connection refused, timed out, or 5xx."""
    GATEWAY_UNAUTHORIZED = "GatewayUnauthorized"  # The gateway refuses the credentials (401 or 403).
    ROUTE_NOT_FOUND = "RouteNotFound"  # The gateway answers, but has no route at filesPath or batchesPath.
    NOT_A_BATCH_API = "NotABatchAPI"
    """What answers at filesPath or batchesPath is no Files or Batches API: a redirect, a login page, another service."""
    CERTIFICATE_NOT_VERIFIED = "CertificateNotVerified"
    """The gateway's certificate is not checked (spec.tls.insecureSkipVerify): whoever is on the way can read everything."""
    TLS_VERIFICATION_FAILED = "TLSVerificationFailed"
    """The gateway's certificate is not trusted; see spec.tls.caBundle."""
    CREDENTIALS_NOT_FOUND = "CredentialsNotFound"
    """A Secret or ConfigMap, or a key in it, that the BatchGateway refers to does not exist."""
    RATE_LIMITED = "RateLimited"  # The gateway asks to slow down (429); the job goes on after the time it asked for.
    QUOTA_EXCEEDED = "QuotaExceeded"
    """The deployment's enqueued-token or file quota is used up; retried until there is room."""
    QUOTA_IMPOSSIBLE = "QuotaImpossible"
    """A batch is estimated at more tokens than the gateway's maxEnqueuedTokens, and can't be cut smaller."""
    BILLING_LIMIT = "BillingLimit"
    """The provider's account has reached its billing limit, or can't be charged. A person must see to it; the job goes on by
    itself afterwards."""
    REQUEST_REFUSED = "RequestRefused"  # The gateway refuses the request itself (4xx); the message is its own.

    # --- submission ------------------------------------------------------------------------------------------------
    SUBMISSION_UNKNOWN = "SubmissionUnknown"
    """It can't be found out whether the batch was made (the gateway has no list, none to rely on, or one that shows nothing of
    one lost call after the other); a person must decide."""
    REMOTE_BATCH_NOT_FOUND = "RemoteBatchNotFound"
    """The batch whose id is recorded is not found at the provider, or the gateway leads elsewhere; looked for now and then."""
    UNUSABLE_ID = "UnusableID"
    """The provider names a file or a batch by an id that no URL can hold, or by none. Terminal for an uploaded file."""
    REMOTE_FILE_FAILED = "RemoteFileFailed"  # The provider could not process the uploaded file. Terminal.
    ADOPTED = "Adopted"  # A batch made by a create call whose answer was lost was found and taken over.
    DUPLICATE_CANCELLED = "DuplicateCancelled"
    """More than one batch was found for one submission; the oldest is kept, the others are cancelled."""
    DUPLICATES_UNCHECKED = "DuplicatesUnchecked"
    """The gateway's list could not be searched for other batches of the job in time; look for them at the provider."""
    RESTORED = "Restored"
    """The object is a copy of another one, or its status was lost: what it may have at the provider is found out first."""

    # --- transfer Job ----------------------------------------------------------------------------------------------
    TRANSFER_PENDING = "TransferPending"
    """The transfer Job's pod has not started yet; the message is the scheduler's or the kubelet's own."""
    TRANSFER_SUSPENDED = "TransferSuspended"
    """Something holds the transfer Job back (its spec.suspend, or a scheduling gate), for example a queue; the message says what."""
    TRANSFER_UNSCHEDULABLE = "TransferUnschedulable"  # No node can take the transfer Job's pod.
    TRANSFER_IMAGE_PULL_FAILED = "TransferImagePullFailed"  # The transfer Job's image can't be pulled.
    TRANSFER_REFUSED = "TransferRefused"
    """The API server refuses the transfer Job or its pod: quota, admission, or missing permission."""
    TRANSFER_FAILED = "TransferFailed"
    """The transfer Job ended without an answer, for example out of memory; it is tried again."""
    VOLUME_CLAIM_NOT_FOUND = "VolumeClaimNotFound"  # The PersistentVolumeClaim does not exist (yet).
    VOLUME_CLAIM_UNBOUND = "VolumeClaimUnbound"  # The PersistentVolumeClaim has no volume (yet).
    PERMISSION_DENIED = "PermissionDenied"
    """The volume can't be read or written by the transfer pod's user; see spec.transfer.securityContext."""
    VOLUME_FULL = "VolumeFull"  # There is no space left on the output volume.

    # --- results ---------------------------------------------------------------------------------------------------
    OUTPUT_UNSUPPORTED = "OutputUnsupported"
    """The output volume's file system can't do what it takes to store results; another claim in spec.output is needed."""
    OUTPUT_TOO_LARGE = "OutputTooLarge"
    """The results don't fit into a Secret or ConfigMap (1 MiB); name a PersistentVolumeClaim in spec.output."""
    OUTPUT_EXISTS = "OutputExists"  # The destination exists and is not this job's; it is never overwritten.
    OUTPUT_INVALID = "OutputInvalid"  # The destination can't be used, for example a path that leaves the volume.
    RESULTS_PENDING = "ResultsPending"
    """The batch has ended, but doesn't name all of its files yet, or they lack lines; looked at again for five minutes."""
    RESULTS_UNREADABLE = "ResultsUnreadable"
    """A result file is gone, can't be downloaded whole, or holds no result line; tried again ever more rarely, deleted never."""
    RESULTS_STORED = "ResultsStored"  # The results are durably stored at status.output.location.
    REMOTE_FILES_RETAINED = "RemoteFilesRetained"
    """Remote files, or a batch, were left behind: they could not be deleted or cancelled in time, or there was no way to ask."""
    REMOTE_BATCH_RETAINED = "RemoteBatchRetained"
    """The remote batch was left at the provider on deletion, as spec.deletionPolicy.remoteBatch says."""
    OUTPUT_RETAINED = "OutputRetained"
    """Results in a volume were left behind on deletion: they were changed since, or could not be deleted in time."""
    RELEASED = "Released"  # The operator was uninstalled while something was under way; installed again, it goes on.

    # --- the end ---------------------------------------------------------------------------------------------------
    SUCCEEDED = "Succeeded"  # Every request succeeded and the results are stored. Terminal.
    COMPLETED_WITH_FAILURES = "CompletedWithFailures"
    """The batch completed, some requests succeeded and some failed; both are stored. Terminal."""
    ALL_REQUESTS_FAILED = "AllRequestsFailed"  # The batch ended and no request succeeded. Terminal.
    SUCCESS_POLICY_NOT_MET = "SuccessPolicyNotMet"
    """Fewer requests succeeded than spec.successPolicy asks for; those that did are stored. Terminal."""
    REQUEST_FAILURE_POLICY = "RequestFailurePolicy"
    """A request failed in a way for which spec.requestFailurePolicy says FailJob; what was answered is stored. Terminal."""
    BATCH_FAILED = "BatchFailed"  # The provider refused the batch, for example in its own validation. Terminal.
    BATCH_EXPIRED = "BatchExpired"
    """The batch was not done within its completion window; what was answered is stored. Terminal."""
    BATCH_CANCELLED = "BatchCancelled"
    """The batch was cancelled by somebody else at the provider; what was answered is stored. Terminal."""

    # --- llmbatch itself -------------------------------------------------------------------------------------------
    INVALID_SPEC = "InvalidSpec"
    """The object can't be read by this version of the operator; its CRD may be newer or older."""
    STATUS_REFUSED = "StatusRefused"
    """The API server refuses to store the object's status: a policy, a webhook, a quota; only an event can tell of it."""
    INTERNAL_ERROR = "InternalError"
    """An error nobody foresaw; it is retried with back-off, and the operator's log has its trace."""
