"""The kinds of jobs of a campaign, and what each must come to, by the emulator's record of its batch."""

from dataclasses import dataclass
from typing import Any

from tests.e2e import objects

Json = dict[str, Any]

GOOD = ("one", "two", "three", "four", "five", "six")
PARTLY = ("one", "two--status-400", "three", "four--content-filter", "five", "six")
FAILING = ("one--status-500", "two--status-400", "three--status-429")
PASSING = (
    "one",
    "two--status-429-times-1",
    "three--status-400",
    "four",
    "five--missing-times-2",
    "six--expired-times-1",
)
CLAIM = "data"
MODEL = "gpt-4o"
SMALL_FILES = "kong-small-files"
"""Name of the BatchGateway to the same emulator that takes PART requests in a file."""
PART = 2


@dataclass(frozen=True)
class Kind:
    """A kind of job."""

    name: str
    custom_ids: tuple[str, ...]
    weight: int
    source: str = "configMap"
    target: str = "secret"
    fate: str = ""
    """What somebody does to it under way: delete (the BatchJob), cancel (the batch, at the provider)."""
    model: str = MODEL
    valid: bool = True
    emulate: str = ""
    """What its batch asks of the emulator: late-ids, expires, late-quota."""
    split: bool = False
    """Its gateway takes two requests in a file, so that it has several batches."""
    retries: int = 0
    """Further attempts at a request that failed."""

    @property
    def good(self) -> set[str]:
        """Requests that succeed, perhaps after some tries."""
        return {custom_id for custom_id in self.custom_ids if "--" not in custom_id or "-times-" in custom_id}

    def sent_again(self, attempt: int) -> int:
        """Count the requests of an attempt from the second on."""
        times = [int(custom_id.rpartition("-times-")[2]) for custom_id in self.custom_ids if "-times-" in custom_id]
        return sum(failures >= attempt - 1 for failures in times) if attempt <= 1 + self.retries else 0

    def job(self, name: str) -> Json:
        """Make a BatchJob."""
        places = {
            "configMap": objects.in_config_map(f"input-{self.name}"),
            "secret": objects.in_secret(f"input-{self.name}"),
            "volume": objects.in_volume(CLAIM, f"in/{self.name}.jsonl"),
        }
        targets = {
            "configMap": objects.in_config_map(f"out-{name}", "results"),
            "secret": objects.in_secret(f"out-{name}", "results"),
            "volume": objects.in_volume(CLAIM, f"out/{name}.jsonl"),
        }
        spec: Json = {"model": self.model} if self.model != MODEL else {}
        if self.split:
            spec["gatewayRef"] = {"name": SMALL_FILES}
        if self.retries:
            spec["backoffLimitPerRequest"] = self.retries
        if self.emulate:
            spec["metadata"] = {"emulate": self.emulate}
        return objects.job(name, places[self.source], targets[self.target], **spec)

    @property
    def parts(self) -> int:
        """Batches that it takes."""
        return -(-len(self.custom_ids) // PART) if self.split else 1

    def text(self) -> str:
        """Make the input."""
        lines = objects.requests(*self.custom_ids)
        return lines if self.valid else lines.replace('"method"', '"methode"', 1)

    def verdict(self, batch_status: str | None) -> tuple[str, str]:
        """Give the condition and the reason that the job must end with."""
        if not self.valid:
            return "Failed", "InvalidInput"
        match batch_status:
            case "failed":
                return "Failed", "BatchFailed"
            case "cancelled":
                return "Failed", "BatchCancelled"
            case "expired":
                return "Failed", "BatchExpired"
            case _ if not self.good:
                return "Failed", "AllRequestsFailed"
            case _ if len(self.good) < len(self.custom_ids):
                return "Complete", "CompletedWithFailures"
            case _:
                return "Complete", "Succeeded"


KINDS = (
    Kind("good", GOOD, 3),
    Kind("partly", PARTLY, 3, target="configMap"),
    Kind("failing", FAILING, 1),
    Kind("from-secret", GOOD, 1, source="secret"),
    Kind("volume", GOOD, 4, source="volume", target="volume"),
    Kind("volume-partly", PARTLY, 4, source="volume", target="volume"),
    Kind("volume-to-secret", GOOD, 2, source="volume"),
    Kind("refused", GOOD, 1, model="no-such-deployment"),
    Kind("quota-late", GOOD, 1, emulate="late-quota"),
    Kind("volume-quota-late", GOOD, 1, source="volume", target="volume", emulate="late-quota"),
    Kind("invalid", GOOD, 1, valid=False),
    Kind("deleted", GOOD, 2, fate="delete"),
    Kind("volume-deleted", GOOD, 1, source="volume", target="volume", fate="delete"),
    Kind("cancelled", GOOD, 1, fate="cancel"),
    Kind("late-ids", PARTLY, 2, emulate="late-ids"),
    Kind("volume-late-ids", PARTLY, 1, source="volume", target="volume", emulate="late-ids"),
    Kind("expired", PARTLY, 2, emulate="expires"),
    Kind("split", GOOD, 2, split=True),
    Kind("split-partly", PARTLY, 3, source="volume", target="volume", split=True),
    Kind("retry", PASSING, 3, retries=2),
    Kind("retry-split", PASSING, 4, source="volume", target="volume", split=True, retries=2),
    Kind("retry-split-secret", PASSING, 2, split=True, retries=2),
    Kind("deleted-retry", PASSING, 2, source="volume", target="volume", fate="delete", split=True, retries=2),
    Kind("deleted-split", GOOD, 2, source="volume", target="volume", fate="delete", split=True),
    Kind("volume-expired", PARTLY, 1, source="volume", target="volume", emulate="expires"),
)
