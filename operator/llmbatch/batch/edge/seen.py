"""A BatchJob as one pass has seen it, with what is needed to act on it."""

from dataclasses import dataclass, field, replace
from typing import Any, Self

from llmbatch.api.batchjob_status import BatchJobStatus
from llmbatch.batch.pure.decision import Ending, Finish
from llmbatch.batch.pure.observation import Observation
from llmbatch.batch.pure.part_view import PartView
from llmbatch.batch.pure.stage import stage_of
from llmbatch.gateway.clients import Client
from llmbatch.job.pure import conditions, next_status
from llmbatch.kube.once import Once
from llmbatch.runtime.queue import Key
from llmbatch.transfer.pure.naming import Owner
from llmbatch.transfer.pure.plan import CollectPlan, UploadPlan
from llmbatch.transfer.pure.report import Problem

Json = dict[str, Any]


class NoClientError(Exception):
    """An effect on a gateway was decided without one; a fault of the rules."""


@dataclass(frozen=True)
class Seen:
    """An observation, with what is needed to act on it."""

    key: Key
    owner: Owner
    raw: Json = field(repr=False)
    stored: BatchJobStatus
    """The status as it is stored; of one batch of several, as that of a job with this batch alone."""
    observation: Observation
    client: Client | None = None
    data: bytes | None = field(default=None, repr=False)
    """The input, when it is in a ConfigMap or Secret."""
    plan: UploadPlan | CollectPlan | None = None
    """What the transfer Job is asked, when the data is in a volume."""
    spent: bool = False
    """The plan's Job has ended without success: it is to be removed."""
    lingers: bool = False
    """The plan's Job has reported and does not end: it is to be removed once the report is stored."""

    beside: tuple[UploadPlan | CollectPlan, ...] = field(default=(), repr=False)
    """What other transfer Jobs of the same BatchJob are at work on."""
    view: PartView | None = None
    """Which of a job's several batches this is about; None: the job."""
    whole: BatchJobStatus = field(default_factory=BatchJobStatus, repr=False)
    """With a view: the job's status as it is stored."""
    once: Once | None = field(default=None, repr=False, compare=False)
    """With a view: what was asked already in this pass, for other batches too."""

    @property
    def the_client(self) -> Client:
        """The gateway's client, for what is decided only with one.

        Raises:
            NoClientError: There is none all the same.
        """
        if self.client is None:
            raise NoClientError("a call to a gateway without one")
        return self.client

    @property
    def index(self) -> int:
        """The place of its batch among the job's."""
        return self.view.index if self.view is not None else 0

    @property
    def tokens(self) -> int:
        """What its batch is estimated at: where the input was not cut, as without a limit of tokens, the whole input."""
        own, known = self.observation.batch.estimated_tokens, self.observation.status.input
        whole = known.estimated_tokens if self.view is None and known is not None else None
        return own or whole or 0

    @property
    def files_of_others(self) -> frozenset[str]:
        """The input files of the job's other batches: what was made of one of them is not this batch, whatever it says."""
        own = self.observation.batch.input_file_id
        return frozenset(batch.input_file_id for batch in self.whole.batches if batch.input_file_id) - {own or ""}

    def widened(self, status: BatchJobStatus) -> BatchJobStatus:
        """Give the job's status with what is known of this batch."""
        return status if self.view is None else self.view.put(self.whole, status)

    def closed(
        self,
        status: BatchJobStatus,
        ending: Ending,
        *,
        before: BatchJobStatus | None = None,
        finish: Finish | None = None,
    ) -> BatchJobStatus:
        """Give the whole status that follows from facts and from how the pass ends; see next_status.close.

        Args:
            status: With the facts of this pass.
            ending: How it ends.
            before: What is stored by now; None: what was seen.
            finish: The verdict, in the pass that ends the job.
        """
        observation = self.observation
        known, alone = self.stored if before is None else before, self.view is None and observation.deleted_at is None
        return next_status.close(
            known,
            status,
            uid=observation.uid,
            ending=ending,
            finish=finish,
            generation=observation.generation,
            deleting=observation.deleted_at is not None,
            # Of one of several batches it is told how it is, and no more.
            ready_early=alone and conditions.is_ready_early(known, status, observation.spec),
            now=observation.now,
        )

    def found(self, **found: Any) -> Self:  # noqa: ANN401 - any field of an observation
        """Put what was found out into the observation; what moves the job on is news that is to be stored first."""
        observation = replace(self.observation, **found)
        unrecorded = observation.stage is not stage_of(self.stored)
        return replace(self, observation=replace(observation, unrecorded=unrecorded))

    def troubled(self, problem: Problem) -> Self:
        """Put in what keeps the next step from being taken."""
        return self.found(trouble=problem)
