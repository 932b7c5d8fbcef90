"""A look at the place for the results from the upload's pod, which mounts it already: nothing is written there."""

import os

from llmbatch.transfer.edge import volume
from llmbatch.transfer.edge.problem import ProblemError, of_os_error
from llmbatch.transfer.edge.spool import exists
from llmbatch.transfer.edge.volume import Folder
from llmbatch.transfer.pure.plan import UploadPlan, errors_path, foreign_path
from llmbatch.transfer.pure.report import Problem


def look(plan: UploadPlan) -> Problem | None:
    """Say what keeps results from being stored where they are to go, as far as it shows; None: nothing, or it isn't mounted."""
    if plan.output_root is None or plan.output_path is None:
        return None
    try:
        _look(plan.output_root, plan.output_path)
    except ProblemError as error:
        problem = error.problem
    except OSError as error:
        problem = of_os_error(error, "output", plan.output_path).problem
    else:
        return None
    return problem.model_copy(update={"side": "output"})


def _look(root: str, path: str) -> None:
    parts, name = volume.split_path(path, "output")
    there = next(n for n in range(len(parts), -1, -1) if n == 0 or os.path.lexists(os.path.join(root, *parts[:n])))  # noqa: PTH118 - as the volume is walked
    with volume.folder(root, parts[:there], "output") as folder:
        if there == len(parts):
            for wanted in (name, errors_path(name), foreign_path(name)):
                folder.check(wanted)
                if folder.has(wanted):
                    raise exists(folder.shown(wanted))
        _writable(folder, path)


def _writable(folder: Folder, path: str) -> None:
    code = folder.why_unwritable()
    if code:
        raise of_os_error(OSError(code, os.strerror(code)), "output", path)
