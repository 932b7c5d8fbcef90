"""Whole lives of a BatchJob in which a process dies once, at a named place."""

from dataclasses import dataclass
from typing import Any, Literal

from llmbatch import crash
from llmbatch.crash import Effect
from tests.support import build
from tests.support.apistore import Json

Who = Literal["operator", "transfer"]
PATIENCE_SECONDS = 400.0
LONG_SECONDS = 600
CUSTOM_IDS = ("one", "two--status-400", "three", "four", "five")
RETRIED_IDS = ("one", "two--status-400", "three--status-429-times-1", "four", "five--missing-times-2")
INPUT = {"persistentVolumeClaim": {"claimName": "data", "path": "in/batch.jsonl"}}
OUTPUT = {"persistentVolumeClaim": {"claimName": "data", "path": "out/results.jsonl"}}


@dataclass(frozen=True)
class Life:
    """What happens to a job, besides that a process dies."""

    name: str
    volumes: bool = False
    lost: str = ""
    """A fault of the emulator's create call."""
    deleted: bool = False
    """The job is deleted while its batch runs."""
    discarded: bool = False
    """The job is deleted after its end, and its results with it."""
    filling: bool = False
    """The provider's files grow for a while after the batch has ended."""
    pending: bool = False
    """The provider takes a moment to process the file, so that it is asked for."""
    retried: bool = False
    """Requests fail and are sent again, some of them twice."""
    spec: tuple[tuple[str, Any], ...] = ()

    @property
    def custom_ids(self) -> tuple[str, ...]:
        """Give the requests."""
        return RETRIED_IDS if self.retried else CUSTOM_IDS

    @property
    def batches(self) -> int:
        """Give how many batches are wanted."""
        return 3 if self.retried else 1

    def job(self) -> Json:
        """Make the BatchJob."""
        places: dict[str, Any] = {"input": INPUT, "output": OUTPUT} if self.volumes else {}
        return build.batchjob(**places, **dict(self.spec))


PLAIN = Life("a job from ConfigMap to Secret")
PENDING = Life("a job whose file is being processed", pending=True)
VOLUMES = Life("a job from volume to volume", volumes=True)
LOST = Life("a job whose create call loses its answer", lost="reset_after")
REFUSED = Life("a job whose create call is refused at first", lost="status")
TWICE = Life("a job whose create call somebody on the way sends twice", lost="repeat")
DISCARDED = Life(
    "a job that is deleted with its results",
    volumes=True,
    discarded=True,
    spec=(("deletionPolicy", {"output": "Delete"}),),
)
FILLING = Life("a job whose results are still being filled", filling=True)
FILLING_VOLUMES = Life("a job whose results for a volume are still being filled", volumes=True, filling=True)
DELETED = Life("a job that is deleted under way", deleted=True)
AGAIN = (("backoffLimitPerRequest", 2),)
RETRIED = Life("a job whose requests are sent again", retried=True, spec=AGAIN)
RETRIED_VOLUMES = Life("a job in volumes whose requests are sent again", volumes=True, retried=True, spec=AGAIN)

# Where each effect is met.
LIVES: dict[tuple[Who, Effect], Life] = {
    ("operator", Effect.ADD_FINALIZER): PLAIN,
    ("operator", Effect.REMOVE_FINALIZER): PLAIN,
    ("operator", Effect.WRITE_STATUS): PLAIN,
    ("operator", Effect.WRITE_GATEWAY_STATUS): PLAIN,
    ("operator", Effect.RECORD_EVENT): PLAIN,
    ("operator", Effect.UPLOAD_FILE): PLAIN,
    ("operator", Effect.GET_FILE): PENDING,
    ("operator", Effect.WRITE_INTENT): PLAIN,
    ("operator", Effect.CREATE_BATCH): PLAIN,
    ("operator", Effect.SEND_CREATE): PLAIN,
    ("operator", Effect.WRITE_FACT): PLAIN,
    ("operator", Effect.GET_BATCH): PLAIN,
    ("operator", Effect.DOWNLOAD_FILE): PLAIN,
    ("operator", Effect.PUBLISH_FILE): PLAIN,
    ("operator", Effect.SYNC_FOLDER): PLAIN,
    ("operator", Effect.STORE_RESULTS): PLAIN,
    ("operator", Effect.DELETE_FILE): PLAIN,
    ("operator", Effect.LIST_FILES): PLAIN,
    ("operator", Effect.WITHDRAW_INTENT): REFUSED,
    ("operator", Effect.LOOK_UP): LOST,
    ("operator", Effect.CANCEL_BATCH): DELETED,
    ("operator", Effect.START_TRANSFER): VOLUMES,
    # Removed only when another try is due; the transfer's own death is what makes one.
    ("operator", Effect.REMOVE_TRANSFER): VOLUMES,
    ("transfer", Effect.UPLOAD_FILE): VOLUMES,
    ("transfer", Effect.DOWNLOAD_FILE): VOLUMES,
    ("transfer", Effect.PUBLISH_FILE): VOLUMES,
    ("transfer", Effect.SYNC_FOLDER): VOLUMES,
    ("transfer", Effect.WRITE_REPORT): VOLUMES,
    ("transfer", Effect.DISCARD_FILE): DISCARDED,
}


@dataclass(frozen=True)
class Death:
    """Who dies, and where."""

    who: Who
    side: crash.Side
    effect: Effect
    within: Life | None = None
    """Instead of the life in which the effect is usually met."""
    skip: int = 0
    """How often the place is passed first."""

    def __str__(self) -> str:
        """Give the test's name."""
        told = f" of {self.within.name}" if self.within is not None else ""
        number = f" no. {self.skip + 1}" if self.skip else ""
        return f"{self.who}: {self.side} {self.effect}{number}{told}"

    @property
    def life(self) -> Life:
        """Give the life in which this happens."""
        return self.within or LIVES[self.who, self.effect]


SIDES: tuple[crash.Side, ...] = ("before", "after")
DEATHS = [Death(who, side, effect) for who, effect in LIVES for side in SIDES]
DEATHS += [
    Death("operator", side, effect, TWICE)
    for effect in (Effect.WRITE_FACT, Effect.LOOK_UP, Effect.CANCEL_BATCH)
    for side in SIDES
]
# Whoever dies between two looks at results that are late, the wait goes on and ends with all of them.
WAITING: tuple[tuple[Who, Effect, Life], ...] = (
    ("operator", Effect.DOWNLOAD_FILE, FILLING),
    ("operator", Effect.REMOVE_TRANSFER, FILLING_VOLUMES),
    ("transfer", Effect.WRITE_REPORT, FILLING_VOLUMES),
)
DEATHS += [Death(who, side, effect, life) for who, effect, life in WAITING for side in SIDES]


# In a later attempt: what it sends, its intent, its batch, its results, and what is made of all of them.
LATER: tuple[tuple[Who, Effect, Life, int], ...] = (
    ("operator", Effect.WRITE_STATUS, RETRIED, 9),
    ("operator", Effect.UPLOAD_FILE, RETRIED, 1),
    ("operator", Effect.WRITE_INTENT, RETRIED, 1),
    ("operator", Effect.SEND_CREATE, RETRIED, 1),
    ("operator", Effect.WRITE_FACT, RETRIED, 1),
    ("operator", Effect.CREATE_BATCH, RETRIED, 2),
    ("operator", Effect.DOWNLOAD_FILE, RETRIED, 4),
    ("operator", Effect.STORE_RESULTS, RETRIED, 0),
    ("operator", Effect.START_TRANSFER, RETRIED_VOLUMES, 2),
    ("operator", Effect.WRITE_STATUS, RETRIED_VOLUMES, 12),
    ("operator", Effect.SEND_CREATE, RETRIED_VOLUMES, 1),
    ("transfer", Effect.UPLOAD_FILE, RETRIED_VOLUMES, 1),
    ("transfer", Effect.PUBLISH_FILE, RETRIED_VOLUMES, 1),
    ("transfer", Effect.PUBLISH_FILE, RETRIED_VOLUMES, 3),
    ("transfer", Effect.WRITE_REPORT, RETRIED_VOLUMES, 3),
    ("transfer", Effect.DISCARD_FILE, RETRIED_VOLUMES, 1),
)
DEATHS += [Death(who, side, effect, life, skip) for who, effect, life, skip in LATER for side in SIDES]
