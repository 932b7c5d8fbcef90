"""The discard transfer: deletes stored results from a volume, and nothing that is not what was stored."""

from pathlib import Path

from llmbatch import crash
from llmbatch.transfer.pure.plan import DiscardPlan, errors_path, foreign_path
from llmbatch.transfer.pure.report import DiscardReport
from llmbatch.transfer.volumes import walking
from llmbatch.transfer.volumes.problem import ProblemError, of_os_error
from llmbatch.transfer.volumes.volume import Folder


def discard(plan: DiscardPlan) -> DiscardReport:
    """Delete the results, the failed requests and what fits none; repeating a discard that was killed at any moment ends the same way."""
    try:
        parts, name = walking.split_path(plan.path, "output")
        if not Path(plan.root, *parts).exists():
            # Somebody has removed the whole folder already.
            return DiscardReport()
        with walking.folder(plan.root, parts, "output") as folder:
            return _discard(plan, folder, name)
    except ProblemError as error:
        problem = error.problem
    except OSError as error:
        problem = of_os_error(error, "output", plan.path).problem
    return DiscardReport(problem=problem)


def _discard(plan: DiscardPlan, folder: Folder, name: str) -> DiscardReport:
    due: list[tuple[str, tuple[int | None, str | None]]] = [(name, (plan.bytes, plan.sha256))]
    if plan.has_errors:
        due.append((errors_path(name), (plan.errors_bytes, plan.errors_sha256)))
    if plan.foreign_bytes:
        due.append((foreign_path(name), (plan.foreign_bytes, plan.foreign_sha256)))
    kept = []
    for file, stored in due:
        try:
            found = folder.digest(file)
            if found is None:
                continue
            if found != stored:
                kept.append(f"{folder.shown(file)} is not what was stored any more")
                continue
            with crash.around(crash.Effect.DISCARD_FILE):
                folder.remove(file)
        except ProblemError as error:
            kept.append(str(error))
        except OSError as error:
            kept.append(str(of_os_error(error, "output", folder.shown(file))))
    folder.sync()
    return DiscardReport(kept=kept)
