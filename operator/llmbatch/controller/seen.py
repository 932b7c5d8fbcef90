"""A BatchJob as one pass has seen it, with what is needed to act on it."""

from dataclasses import dataclass, field
from typing import Any

from llmbatch.api.batchjob_status import BatchJobStatus
from llmbatch.controller.gateways import Client
from llmbatch.controller.queue import Key
from llmbatch.core.observation import Observation
from llmbatch.core.plan import CollectPlan, UploadPlan
from llmbatch.edges.transfer_job import Owner

Json = dict[str, Any]


@dataclass(frozen=True)
class Seen:
    """An observation, with what is needed to act on it."""

    key: Key
    owner: Owner
    raw: Json = field(repr=False)
    stored: BatchJobStatus
    """The status as it is stored."""
    observation: Observation
    client: Client | None = None
    data: bytes | None = field(default=None, repr=False)
    """The input, when it is in a ConfigMap or Secret."""
    plan: UploadPlan | CollectPlan | None = None
    """What the transfer Job is asked, when the data is in a volume."""
    spent: bool = False
    """The plan's Job has ended without success: it is to be removed."""
