"""When it is a job's turn for what begins with a list of its gateway: lists are read once for all, and not all the time."""

from dataclasses import dataclass

from llmbatch.batch.edge.listing import Looks
from llmbatch.batch.edge.lost_uploads import LostUploads
from llmbatch.batch.edge.outcome import Outcome
from llmbatch.batch.edge.seen import Seen
from llmbatch.batch.pure.decision import Effect, FindDuplicates, Finish, RemoveFinalizer
from llmbatch.batch.pure.stage import Stage
from llmbatch.job.edge.cleanup import before_letting_go


@dataclass
class Turns:
    """Puts effects off until their lists may be read: to wait takes no certainty about the object, and changes nothing."""

    looks: Looks
    lost_uploads: LostUploads

    def put_off(self, seen: Seen, effect: Effect) -> Outcome | None:
        """Say when an effect can be done, if that is not now."""
        observation = seen.observation
        match effect:
            case FindDuplicates() if seen.client is not None and not observation.unrecorded:
                wait = self.looks.due_in(seen, seen.client)
                if observation.stage is Stage.CLEANUP and seen.view is None:
                    # The pass that finds none ends the job, which takes the list of files.
                    wait = max(wait, self.lost_uploads.due_in(seen))
                return self.looks.not_yet(seen, observation.status, wait) if wait > 0 else None
            case Finish() if seen.view is None and (wait := self.lost_uploads.due_in(seen)) > 0:
                # Nothing is told of what the pass has found: its end rests on that, and is to find it again.
                return Outcome(seen.stored, after=wait)
            case RemoveFinalizer(as_asked=False) if observation.deleted_at is not None:
                wait = self.lost_uploads.due_in(seen)
                return before_letting_go(seen, wait) if wait > 0 else None
        return None
