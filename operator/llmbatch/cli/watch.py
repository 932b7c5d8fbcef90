"""Following a BatchJob to its end: bars on a terminal, and else a line whenever something has changed."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from llmbatch.api.batch_status import Batch
from llmbatch.api.batchjob_status import BatchJobStatus, Phase
from llmbatch.cli import objects
from llmbatch.cli.cluster import ApiError, Cluster
from llmbatch.cli.told import NO, UNABLE, YES, note, say
from llmbatch.common.text import for_terminal
from llmbatch.kube.permissions import JOBS

MOST_BARS = 16
"""Bars of batches on a screen; of a job with more, those that have not ended come first."""
PATIENCE_LOOKS = 30
"""So many looks in a row may fail before the watch is given up: an API server is upgraded now and then."""
_ENDED = ("Complete", "Failed")


@dataclass(frozen=True)
class Row:
    """One batch, or the job as a whole."""

    label: str
    phase: str
    done: int
    failed: int
    total: int | None
    """None: it isn't known yet."""

    @property
    def told(self) -> str:
        """The row as a line."""
        of = f"/{self.total}" if self.total is not None else ""
        return f"{self.label}: {self.phase} {self.done + self.failed}{of}{f', {self.failed} failed' if self.failed else ''}"


def rows(name: str, status: BatchJobStatus) -> list[Row]:
    """Give the job's row, and those of its batches where it has several."""
    counts = status.request_counts
    total = counts.total if counts is not None else status.input.requests if status.input is not None else None
    done, failed = (counts.completed, counts.failed) if counts is not None else (0, 0)
    whole = Row(name, status.phase or "Pending", done, failed, total)
    of_several = [batch for batch in status.batches if batch.is_one_of_several]
    return [whole, *map(_row, of_several)] if len(of_several) > 1 else [whole]


def _row(batch: Batch) -> Row:
    counts = batch.request_counts
    phase = batch.state.phase if batch.state is not None else "Pending"
    total = batch.requests if counts is None else counts.total
    done, failed = (counts.completed, counts.failed) if counts is not None else (0, 0)
    return Row(f"part {batch.label}", phase, done, failed, total)


def verdict(status: BatchJobStatus) -> str:
    """Say what Ready says."""
    ready = status.condition("Ready")
    return f"{ready.reason}: {ready.message}" if ready is not None else "no operator has seen it yet"


def is_held_up(status: BatchJobStatus) -> bool:
    """Tell whether the reason is worth a line: somebody has to act, or nothing of the job has begun."""
    return status.holds("Stalled") or status.phase in (None, Phase.PENDING)


def watch(cluster: Cluster, name: str, interval: float) -> int:
    """Follow a BatchJob until it ends."""
    uid = cluster.job(name)["metadata"]["uid"]
    with _screen() as screen:
        for status in _statuses(cluster, name, uid, interval):
            screen.show(rows(name, status), verdict(status), is_held_up=is_held_up(status))
            if status.has_ended:
                break
        else:
            note(f"BatchJob {cluster.namespace}/{name} was deleted")
            return UNABLE
    complete = status.holds("Complete")
    say(f"{name}: {'Complete' if complete else 'Failed'}: {verdict(status)}")
    return YES if complete else NO


def _statuses(cluster: Cluster, name: str, uid: str, interval: float) -> Iterator[BatchJobStatus]:
    """Yield the status again and again, until the BatchJob is gone."""
    failed = 0
    while True:
        try:
            job = cluster.get(JOBS, name)
            failed = 0
        except ApiError as error:
            failed += 1
            if failed > PATIENCE_LOOKS or error.status in (401, 403):
                raise
            time.sleep(interval)
            continue
        if job is None or job["metadata"]["uid"] != uid:
            return
        yield objects.status_of(job)
        time.sleep(interval)


class Lines:
    """Writes a line for each row that has changed."""

    def __init__(self) -> None:
        """Begin with nothing shown."""
        self._shown: set[str] = set()

    def show(self, found: list[Row], told: str, *, is_held_up: bool) -> None:
        """Show what is new."""
        lines = [row.told for row in found]
        if is_held_up:
            lines.append(f"{found[0].label}: {told}")
        for line in lines:
            if line not in self._shown:
                say(line)
        # What comes back is new again.
        self._shown = set(lines)
        sys.stdout.flush()


@dataclass
class Bars:
    """Draws a bar for each row."""

    progress: Progress
    _tasks: dict[str, TaskID] = field(default_factory=dict)
    _told: str = ""

    def show(self, found: list[Row], told: str, *, is_held_up: bool) -> None:
        """Draw them anew."""
        whole, *parts = found
        running = sorted(parts, key=lambda row: row.phase in _ENDED)[:MOST_BARS]
        drawn = {row.label: row for row in (whole, *running)}
        for label in self._tasks.keys() - drawn.keys():
            self.progress.remove_task(self._tasks.pop(label))
        for label, row in drawn.items():
            if label not in self._tasks:
                self._tasks[label] = self.progress.add_task(label, total=None, phase="", failed="")
            self.progress.update(
                self._tasks[label],
                total=row.total,
                completed=row.done + row.failed,
                phase=row.phase,
                failed=f"{row.failed} failed" if row.failed else "",
            )
        if is_held_up and told != self._told:
            self.progress.console.print(for_terminal(told), markup=False, highlight=False)
        self._told = told


@contextmanager
def _screen() -> Iterator[Lines | Bars]:
    console = Console()
    # Rich takes a log for a terminal where FORCE_COLOR is set, as build servers do; on a dumb one it draws nothing.
    if not console.file.isatty() or console.is_dumb_terminal:
        yield Lines()
        return
    with bars(console) as drawn:
        yield drawn


@contextmanager
def bars(console: Console) -> Iterator[Bars]:
    """Draw on a terminal while the context is open."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[phase]}", markup=False),
        TextColumn("{task.fields[failed]}", style="red", markup=False),
    )
    with Progress(*columns, console=console) as progress:
        yield Bars(progress)
