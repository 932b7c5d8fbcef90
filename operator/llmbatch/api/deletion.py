"""What becomes of things outside a BatchJob when it is deleted."""

from typing import Literal

from pydantic import Field

from llmbatch.api.base import Model

RETAINED_OUTPUT = "Retain"


class DeletionPolicy(Model):
    """What becomes of the batch, of the results and of the wait when the BatchJob is deleted."""

    remote_batch: Literal["Cancel", "Orphan"] = Field(
        "Cancel",
        description="What becomes of a batch that is under way, or whose results are not stored yet. Cancel: it is"
        " cancelled at the provider and its files are deleted as remoteFiles says. Orphan: batch and files are left at"
        " the provider, and an event names them; nothing collects its results any more.",
    )
    output: Literal["Retain", "Delete"] = Field(
        "Retain",
        description="What becomes of stored results. Retain: they outlive the BatchJob; the next BatchJob that is to"
        " write to the same place waits until they are moved away. Delete: they go with the BatchJob; files in a volume"
        " only while they still are what was stored. Can't change once results are stored.",
    )
    cleanup_timeout_seconds: int | None = Field(
        None,
        ge=1,
        le=86400,
        description="Most seconds that the deletion waits for the provider and for the volume. After that the BatchJob"
        " goes all the same, and an event names what was left. When absent, the operator's setting"
        " (chart value operator.cleanupTimeoutSeconds).",
    )
