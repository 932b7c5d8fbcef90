"""In the run that tests/suite/beside.py starts: picks the tests that were handed over, and tells what became of them."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

WANTED = "LLMBATCH_SUITE_WANTED"
"""A file with the names of the tests, and the group of each, as JSON."""
REPORTS = "LLMBATCH_SUITE_REPORTS"
"""The file descriptor to which reports are written, a line of JSON each."""


def is_handed_over() -> bool:
    """Tell whether this process runs tests for another, which has made what they share, and takes it down again."""
    return WANTED in os.environ


def _handed_over() -> dict[str, str]:
    """Read which tests those are, in their order, and which group each belongs to."""
    found: dict[str, str] = json.loads(Path(os.environ[WANTED]).read_text(encoding="utf-8"))
    return found


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what was not handed over."""
    order = {nodeid: number for number, nodeid in enumerate(_handed_over())}
    items[:] = sorted((item for item in items if item.nodeid in order), key=lambda item: order[item.nodeid])


class Together(LoadScopeScheduling):  # type: ignore[misc]  # it has no types
    """Gives all tests of a group to one process.

    pytest-xdist's own `--dist=loadgroup` writes the group into the test's name, which pytest no longer lets it do.
    """

    def __init__(self, config: pytest.Config, log: Any) -> None:
        """Read the groups."""
        super().__init__(config, log)
        self._groups = _handed_over()

    def _split_scope(self, nodeid: str) -> str:
        return self._groups.get(nodeid, nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Together:
    """Say who gets which test."""
    return Together(config, log)


def group(item: pytest.Item) -> str:
    """Name what is to run in one process, one after another: what is marked so, and what shares a module's fixture."""
    marked = item.get_closest_marker("xdist_group")
    return str(marked.args[0]) if marked is not None else _group(item) or item.nodeid


def _group(item: pytest.Item) -> str:
    """Name the fixtures that several tests of a module share; with another parameter they are others."""
    known: dict[str, Any] = getattr(getattr(item, "_fixtureinfo", None), "name2fixturedefs", {})
    shared = sorted(name for name, found in known.items() if found[-1].scope in ("class", "module", "package"))
    if not shared:
        return ""
    callspec = getattr(item, "callspec", None)
    chosen = [f"{name}={callspec.indices.get(name)}" if callspec else name for name in shared]
    return f"{item.path.name}:{','.join(chosen)}"


@pytest.hookimpl(trylast=True)
def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Write a report; pytest-xdist calls this in its first process, with those of all the others."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        return
    written = {name: value for name, value in _written(report).items() if name != "node"}
    with open(int(os.environ[REPORTS]), "w", encoding="utf-8", closefd=False) as reports:
        reports.write(f"{json.dumps(written, default=str)}\n")


def _written(report: pytest.TestReport) -> dict[str, Any]:
    return report._to_json()  # noqa: SLF001 - the hook that calls it wants a config, which a report doesn't have


def read(config: pytest.Config, line: str) -> pytest.TestReport:
    """Read what was written."""
    data = {**json.loads(line), "$report_type": "TestReport"}
    # JSON knows no tuples, and pytest wants one where a test was skipped: file, line and reason.
    for name in ("location", "longrepr"):
        if isinstance(data.get(name), list):
            data[name] = tuple(data[name])
    report: pytest.TestReport = config.hook.pytest_report_from_serializable(config=config, data=data)
    return report
