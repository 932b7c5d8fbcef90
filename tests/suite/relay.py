"""In the run that tests/suite/beside.py starts: picks the tests that were handed over, and tells what became of them."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

WANTED = "LLMBATCH_SUITE_WANTED"
"""A file with the names of the tests, as JSON."""
REPORTS = "LLMBATCH_SUITE_REPORTS"
"""The file descriptor to which reports are written, a line of JSON each."""


def is_handed_over() -> bool:
    """Tell whether this process runs tests for another, which has made what they share, and takes it down again."""
    return WANTED in os.environ


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what was not handed over, and keep together what would be made anew in every process."""
    order = {nodeid: number for number, nodeid in enumerate(json.loads(Path(os.environ[WANTED]).read_text()))}
    items[:] = sorted((item for item in items if item.nodeid in order), key=lambda item: order[item.nodeid])
    for item in items:
        if item.get_closest_marker("xdist_group") is None and (group := _group(item)):
            item.add_marker(pytest.mark.xdist_group(group))


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
