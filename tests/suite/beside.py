"""Tests beside each other: handed to processes of pytest-xdist, whose reports come back as if they had run here."""

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.suite import relay

FEWEST = 12
"""Fewer tests than this end sooner here than it takes to start processes for them."""
LAST_WORDS = 6000


class Lane:
    """Tests in processes of their own. Their reports come in meanwhile; whoever owns the session passes them on."""

    def __init__(self, session: pytest.Session, items: Sequence[pytest.Item], *, processes: int) -> None:
        """Begin."""
        self._session = session
        self._waited_for = {item.nodeid: item for item in items}
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._over = False
        self._folder = tempfile.TemporaryDirectory()
        self._log = Path(self._folder.name, "log")
        config, wanted = session.config, Path(self._folder.name, "wanted")
        wanted.write_text(json.dumps({item.nodeid: relay.group(item) for item in items}), encoding="utf-8")
        files = [str(path) for path in dict.fromkeys(item.path for item in items)]
        reading, writing = os.pipe()
        command = [
            sys.executable, "-m", "pytest", "-p", relay.__name__, "-p", "no:cacheprovider",
            f"--numprocesses={processes}", "--dist=loadscope",
            # A process that replaces one that died is waited for for ever when nothing is left for it.
            "--max-worker-restart=0", f"--maxfail={config.getoption('maxfail') or 0}",
            # Each process reads each file that is named.
            f"--tb={config.getoption('tbstyle')}", f"--rootdir={config.rootpath}", *files,
        ]  # fmt: skip
        environment = {**os.environ, relay.WANTED: str(wanted), relay.REPORTS: str(writing)}
        with self._log.open("wb") as said:
            self._process = subprocess.Popen(
                command,
                cwd=config.invocation_params.dir,
                env=environment,
                pass_fds=(writing,),
                stdout=said,
                stderr=said,
            )
        os.close(writing)
        # Read at once, or the pipe would be full, and the tests would wait for whoever is to pass their reports on.
        self._reader = threading.Thread(target=self._read, args=(reading,), daemon=True)
        self._reader.start()

    def _read(self, reading: int) -> None:
        with open(reading, encoding="utf-8") as reports:
            for line in reports:
                self._lines.put(line)
        self._lines.put(None)

    def pass_on(self, seconds: float | None = 0.0) -> bool:
        """Pass on a report if one comes within so many seconds, or ever (None); tells whether one did.

        Raises:
            pytest.Session.Failed: As many have failed as `--maxfail` allows.
        """
        if self._over:
            return False
        try:
            line = self._lines.get(timeout=seconds) if seconds != 0 else self._lines.get_nowait()
        except queue.Empty:
            return False
        if line is None:
            self._over = True
            return False
        report = relay.read(self._session.config, line)
        self._session.config.hook.pytest_runtest_logreport(report=report)
        if report.when not in ("setup", "call"):  # a process that died says neither, and nothing after it
            self._waited_for.pop(report.nodeid, None)
        stop_if_told(self._session)
        return True

    def pass_on_what_is_there(self) -> None:
        """Pass on all reports that have come, without waiting.

        Raises:
            pytest.Session.Failed: As many have failed as `--maxfail` allows.
        """
        while self.pass_on():
            pass

    def finish(self, *others: "Lane") -> None:
        """Pass on all reports to the last, and those of others that come meanwhile; what doesn't come back has failed.

        Raises:
            pytest.Session.Failed: As many have failed as `--maxfail` allows.
        """
        while not self._over:
            self.pass_on(0.2 if others else None)
            for other in others:
                other.pass_on_what_is_there()
        code = self._process.wait()
        if self._waited_for or code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
            said = self._log.read_text(errors="replace")[-LAST_WORDS:]
            _complain(self._session, self._waited_for, f"pytest ended with {code}:\n{said}")
        stop_if_told(self._session)

    def close(self) -> None:
        """End it, wherever it is."""
        if self._process.poll() is None:
            self._process.terminate()
        self._process.wait()
        self._reader.join()
        self._folder.cleanup()


@contextmanager
def lane(session: pytest.Session, items: Sequence[pytest.Item], *, processes: int) -> Iterator[Lane]:
    """Run tests in so many processes while the context is open."""
    with _compact(session.config), closing(Lane(session, items, processes=processes)) as made:
        yield made


def stop_if_told(session: pytest.Session) -> None:
    """End the run when as many tests have failed as may, or somebody asked for it."""
    if session.shouldfail:
        raise session.Failed(session.shouldfail)
    if session.shouldstop:
        raise session.Interrupted(session.shouldstop)


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
