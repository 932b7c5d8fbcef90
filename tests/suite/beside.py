"""Tests beside each other: handed to processes of pytest-xdist, whose reports come back as if they had run here."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import pytest

from tests.suite import relay

FEWEST = 12
"""Fewer tests than this end sooner here than it takes to start processes for them."""
LAST_WORDS = 6000


def run(session: pytest.Session, items: Sequence[pytest.Item], *, processes: int) -> None:
    """Run tests in so many processes; what doesn't come back has failed.

    Raises:
        pytest.Session.Failed: As many have failed as `--maxfail` allows.
    """
    waited_for = {item.nodeid: item for item in items}
    with tempfile.TemporaryDirectory() as folder, _compact(session.config):
        wanted, log = Path(folder, "wanted"), Path(folder, "log")
        wanted.write_text(json.dumps({item.nodeid: relay.group(item) for item in items}), encoding="utf-8")
        with _started(session.config, wanted, log, processes) as (process, reports):
            for line in reports:
                report = relay.read(session.config, line)
                session.config.hook.pytest_runtest_logreport(report=report)
                if report.when not in ("setup", "call"):  # a process that died says neither, and nothing after it
                    waited_for.pop(report.nodeid, None)
                stop_if_told(session)
            code = process.wait()
        if waited_for or code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
            _complain(
                session, waited_for, f"pytest ended with {code}:\n{log.read_text(errors='replace')[-LAST_WORDS:]}"
            )
    stop_if_told(session)


def stop_if_told(session: pytest.Session) -> None:
    """End the run when as many tests have failed as may, or somebody asked for it."""
    if session.shouldfail:
        raise session.Failed(session.shouldfail)
    if session.shouldstop:
        raise session.Interrupted(session.shouldstop)


@contextmanager
def _started(
    config: pytest.Config, wanted: Path, log: Path, processes: int
) -> Iterator[tuple["subprocess.Popen[bytes]", TextIO]]:
    reading, writing = os.pipe()
    command = [
        sys.executable, "-m", "pytest", "-p", relay.__name__, "-p", "no:cacheprovider",
        f"--numprocesses={processes}", "--dist=loadscope",
        # A process that replaces one that died is waited for for ever when nothing is left for it.
        "--max-worker-restart=0", f"--maxfail={config.getoption('maxfail') or 0}",
        f"--tb={config.getoption('tbstyle')}", *config.args,
    ]  # fmt: skip
    environment = {**os.environ, relay.WANTED: str(wanted), relay.REPORTS: str(writing)}
    with open(reading, encoding="utf-8") as reports, log.open("wb") as said:  # noqa: PTH123 - a file descriptor
        process = subprocess.Popen(
            command, cwd=config.invocation_params.dir, env=environment, pass_fds=(writing,), stdout=said, stderr=said
        )
        os.close(writing)
        try:
            yield process, reports
        finally:
            if process.poll() is None:
                process.terminate()
            process.wait()


@contextmanager
def _compact(config: pytest.Config) -> Iterator[None]:
    """Show a letter for each test and no file names: they come from several files at once."""
    terminal = config.pluginmanager.getplugin("terminalreporter")
    before = getattr(terminal, "showfspath", None)
    if before is None:
        yield
        return
    terminal.showfspath = False
    try:
        yield
    finally:
        terminal.showfspath = before


def _complain(session: pytest.Session, missing: dict[str, pytest.Item], why: str) -> None:
    """Let tests fail that were handed over, and of which nothing was heard."""
    if not missing:
        session.shouldfail = f"the tests beside each other did not end as they should: {why}"
    for item in missing.values():
        report = pytest.TestReport(
            nodeid=item.nodeid, location=item.location, keywords={}, outcome="failed", when="call",
            longrepr=f"It was not run to its end by the processes beside each other; {why}",
        )  # fmt: skip
        session.config.hook.pytest_runtest_logreport(report=report)
        why = "see above"
