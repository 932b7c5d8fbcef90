"""The collect transfer: download the results, join them with the input, write them where the plan says.

The destination is either whole or not there; repeating a collect that was killed at any moment ends the same way.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256

from llmbatch.api.batchjob_status import Failure
from llmbatch.api.counts import RequestCounts
from llmbatch.api.reasons import Reason
from llmbatch.jsonl.results import Tally
from llmbatch.provider.edge.files import Files, Progress
from llmbatch.provider.edge.pace import Bounds
from llmbatch.provider.edge.route import resolve
from llmbatch.provider.edge.tls import ConnectionInvalidError, Material
from llmbatch.provider.pure import quotes
from llmbatch.transfer.edge.answers import Answers
from llmbatch.transfer.edge.fetch import too_large
from llmbatch.transfer.edge.originals import Originals, originals
from llmbatch.transfer.edge.pages import Pages
from llmbatch.transfer.pure.plan import CollectPlan, errors_path, foreign_path
from llmbatch.transfer.pure.report import CollectReport
from llmbatch.transfer.volumes import publishing, spool, walking
from llmbatch.transfer.volumes.problem import ProblemError, of_os_error
from llmbatch.transfer.volumes.publishing import Sheet
from llmbatch.transfer.volumes.spool import Spool
from llmbatch.transfer.volumes.volume import Folder


def collect(
    plan: CollectPlan,
    environ: Mapping[str, str],
    *,
    material: Material | None = None,
    progress: Progress | None = None,
    bounds: Bounds | None = None,
) -> CollectReport:
    """Fetch, join and store the results. Blocks; foreseen ends are reports with a problem."""
    try:
        route = resolve(plan.connection, environ, material)
        parts, name = walking.split_path(plan.output_path, "output")
        with (
            _destination(plan.output_root, parts, name) as folder,
            spool.spool(folder, _key(plan)) as held,
            Files(route, bounds) as files,
        ):
            return _Collection(plan, files, folder, held, progress).run(name)
    except ProblemError as error:
        problem = error.problem
    except ConnectionInvalidError as error:
        problem = ProblemError(error.reason, str(error)).problem
    except OSError as error:
        problem = of_os_error(error, "output", plan.output_path).problem
    return CollectReport(problem=problem)


@contextmanager
def _destination(root: str, parts: list[str], name: str) -> Iterator[Folder]:
    """Open the folder of the results, and see that they can have their names there, before anything is downloaded."""
    with walking.folder(root, parts, "output", make=True) as folder:
        for wanted in (name, errors_path(name), foreign_path(name)):
            folder.check(wanted)
        yield folder


class _Collection:
    """One collect under way: judges whether all answers are there, and writes them."""

    def __init__(self, plan: CollectPlan, files: Files, folder: Folder, held: Spool, progress: Progress | None) -> None:
        self._plan = plan
        self._files = files
        self._folder = folder
        self._held = held
        self._progress = progress
        self._tally = Tally()
        self._answers = Answers(plan, files, held, self._tally, progress)
        self._join = self._answers.join
        self._missing = 0

    def run(self, name: str) -> CollectReport:
        plan, join = self._plan, self._join
        # In the order of completion too: else a stranger's line would pass for that of a request that has none.
        known = originals(plan, self._files, self._held, self._progress)
        self._answers.take(known.custom_ids() if known is not None else None)
        # Without a count of its own (the status was lost, and the provider tells none) the input is what was found of it.
        short = (plan.input.requests or len(join)) - len(join) + join.missing
        self._missing = max(short, 0)
        if plan.patient:
            self._wait_for_the_rest(short)
        if len(join) - join.missing <= 0 and join.foreign and not plan.accept_missing:
            # To judge by them would be to throw the answers away.
            strange = f"{join.foreign} name a custom_id that is none of the input's"
            message = f"the provider's files hold no result line that can be read ({strange}); they are kept there and read again"
            raise ProblemError(Reason.RESULTS_UNREADABLE, message)
        pages = Pages(self._held, self._tally, plan, known)
        self._write(pages, known if short > 0 else None, max(short, 0))
        failures = self._examples(known)
        sheets = pages.finish(name)
        foreign = self._kept_foreign(pages)
        if foreign is not None:
            sheets.append((foreign, foreign_path(name)))
        publishing.publish(self._folder, self._held, [*sheets, (pages.good, name)])
        return self._report(pages, foreign, failures)

    def _kept_foreign(self, pages: Pages) -> Sheet | None:
        """Give the lines that fit no request, if the destination has room for them beside the results."""
        foreign, most = self._answers.foreign, self._plan.max_output_bytes
        if foreign is None or (most is not None and pages.size + foreign.bytes > most):
            return None
        return foreign

    def _wait_for_the_rest(self, short: int) -> None:
        """Judge nothing yet while lines may still come.

        Raises:
            ProblemError: There are fewer lines than requests, and nothing tells that no more will come.
        """
        read = len(self._join) - self._join.missing
        requests = read + short
        is_full = read + self._answers.foreign_count >= requests > 0 and not self._answers.cut
        # Counts may lag behind as files do: that nothing was answered is no proof while nothing can be read.
        if read and (short <= 0 or read == self._plan.left_out):
            return
        if is_full:
            return
        message = (
            f"The batch has ended, but only {read} of {requests} requests have a result line; the others are waited for"
        )
        raise ProblemError(Reason.RESULTS_PENDING, message)

    def _write(self, pages: Pages, known: Originals | None, short: int) -> None:
        """Write every request's line to where it belongs; the missing ones get one of ours."""
        names: dict[int, str] = {}
        strays: list[str] = []
        for slot, custom_id in self._join.unanswered(known.custom_ids()) if known is not None else ():
            if slot < 0:
                strays.append(custom_id)
            else:
                names[slot] = custom_id
        named = 0
        for place in self._join.places(by_completion=self._plan.order == "Completion"):
            if place.length < 0:
                if place.slot in names:
                    pages.miss(names[place.slot])
                    named += 1
                continue
            line = self._answers.line(place)
            if place.succeeded:
                pages.succeed(line)
            else:
                pages.fail(line)
            self._check_room(pages)
        for custom_id in strays:
            pages.miss(custom_id)
            named += 1
        self._check_room(pages)
        self._tally.add_nameless_failures(short - named)

    def _check_room(self, pages: Pages) -> None:
        most = self._plan.max_output_bytes
        if most is not None and pages.size > most:
            raise too_large(None, most)

    def _examples(self, known: Originals | None) -> list[Failure]:
        """Give the failures that are shown, without what a provider's message quotes of a prompt."""
        examples = self._tally.failures()
        doubtful = {name for name, failure in examples if not quotes.is_ours(failure.message)}
        shown = [quotes.unchecked(failure) for _, failure in examples]
        for found, request in known.requests(doubtful) if known is not None else ():
            for place, (name, failure) in enumerate(examples):
                if name == found:
                    shown[place] = quotes.checked(failure, request)
        return shown

    def _report(self, pages: Pages, foreign: Sheet | None, failures: list[Failure]) -> CollectReport:
        tally = self._tally
        foreign_bytes, foreign_digest = foreign.identity if foreign is not None else (None, None)
        report = CollectReport(
            foreign_requests=self._answers.foreign_count,
            foreign_bytes=foreign_bytes,
            foreign_sha256=foreign_digest,
            request_counts=RequestCounts(
                total=tally.succeeded + tally.failed, completed=tally.succeeded, failed=tally.failed
            ),
            usage=tally.usage,
            failures=failures,
            missing=self._missing,
            malformed_lines=self._join.malformed,
            foreign_lines=self._join.foreign,
        )
        return report.model_copy(update=pages.report())


def _key(plan: CollectPlan) -> str:
    """Tell this collect's temporary files from those of others: the same for every try, different for every batch."""
    parts = (plan.output_path, plan.input_file_id, plan.output_file_id, plan.error_file_id)
    return sha256("\0".join(part or "" for part in parts).encode()).hexdigest()[:16]
