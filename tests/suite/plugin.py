"""Order, times, tests beside each other, and the cluster's comings and goings: pytest -p tests.suite.plugin.

The fast tests run in parallel processes from first to last. Beside them the cluster comes up; then those tests run on it
that only wait, beside each other, each in a namespace of its own; then, one after another and in this process, those marked
`alone`, which kill, change or measure what all on the cluster share; and last those marked `judges`, of what all the others
produced. The fast tests take what those leave of the machine, which is about half of it.
"""

import contextlib
import os
import time
from concurrent.futures import ThreadPoolExecutor, wait
from itertools import zip_longest

import pytest

import tests.cluster
from tests.e2e import shared
from tests.e2e.shared import Shared
from tests.gitops import programs
from tests.suite import beside
from tests.suite.progress import shown

_FAST, _COMING_AND_GOING = "fast tests, after all others", "the cluster's coming and going"
_WAITING, _ALONE = "tests on the cluster, beside each other", "tests on the cluster, one after another"

FAST_PROCESSES = os.cpu_count() or 2
"""They run beside those on the cluster, for which something has to be left."""
WAITING_PROCESSES = 4
"""These do little but wait; more of them, and the machine would be what they wait for."""


class Suite:
    """One run of the whole suite."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._seconds = dict.fromkeys((_FAST, _COMING_AND_GOING, _WAITING, _ALONE), 0.0)
        self._part, self._began = _FAST, time.monotonic()
        self._with_gitops = False

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Put the tests on the cluster last: what fails without one is known sooner."""
        items.sort(key=_turn)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        """Hand over what can run beside each other, run the rest here, and take the cluster down."""
        if session.config.option.collectonly or session.testsfailed:
            return None  # pytest knows what to say
        fast, waiting, *others = ([item for item in session.items if _turn(item) == turn] for turn in range(4))
        alone = [item for part in others for item in part]
        self._with_gitops = any(item.get_closest_marker("gitops") for item in (*waiting, *alone))
        with contextlib.ExitStack() as stack:
            lanes = []
            if len(fast) >= beside.FEWEST:
                lanes.append(stack.enter_context(beside.lane(session, fast, processes=FAST_PROCESSES)))
            else:
                self._run_here(session, fast, [])
            if waiting or alone:
                self._on_the_cluster(session, waiting, alone, lanes)
            self._enter(_FAST)
            for lane in lanes:
                lane.finish()
        return True

    def _on_the_cluster(
        self, session: pytest.Session, waiting: list[pytest.Item], alone: list[pytest.Item], lanes: list[beside.Lane]
    ) -> None:
        was_up = tests.cluster.find() is not None
        try:
            self._enter(_COMING_AND_GOING)
            # If it doesn't come up, the fixture tries again, and its tests then fail with the reason.
            if self._bring_up_beside(lanes) and len(waiting) >= beside.FEWEST:
                self._enter(_WAITING)
                with beside.lane(session, waiting, processes=WAITING_PROCESSES) as those:
                    those.finish(*lanes)
            else:
                alone = [*waiting, *alone]
            self._enter(_ALONE)
            self._run_here(session, alone, lanes)
        finally:
            self._end(session, keep=was_up or bool(os.environ.get("KEEP_CLUSTER")))

    def _bring_up_beside(self, lanes: list[beside.Lane]) -> bool:
        """Bring the cluster up; tells whether it is there."""
        with ThreadPoolExecutor(1) as background:
            coming = background.submit(self._bring_up)
            while not coming.done():
                if not any(lane.pass_on(0.2) for lane in lanes):
                    wait([coming], 0.2)
            return coming.exception() is None

    @staticmethod
    def _run_here(session: pytest.Session, items: list[pytest.Item], lanes: list[beside.Lane]) -> None:
        for item, following in zip_longest(items, items[1:]):
            session.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            beside.stop_if_told(session)
            for lane in lanes:
                lane.pass_on_what_is_there()

    def _bring_up(self) -> None:
        with shown(self._config):
            print(flush=True)
            cluster = tests.cluster.up()
            tests.cluster.build_images(cluster)
            if self._with_gitops:
                # Here, where its progress is seen and no test's time-out runs.
                programs.ensure(*programs.ALL)
        self._config.stash[shared.KEY] = Shared.installed(cluster)

    def _end(self, session: pytest.Session, *, keep: bool) -> None:
        """Take the cluster down, unless it is to stay, and look for traces."""
        self._enter(_COMING_AND_GOING)
        if (used := self._config.stash.get(shared.KEY, None)) is not None:
            used.close()
        if keep:
            return
        with shown(self._config):
            print(flush=True)
            tests.cluster.down()
        if left := tests.cluster.traces():
            session.shouldfail = f"the cluster left traces: {left}"
            raise session.Failed(session.shouldfail)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say how long each part took; pytest's own line comes after it, and last."""
        self._enter(self._part)
        terminalreporter.section("parts")
        for name, seconds in self._seconds.items():
            terminalreporter.line(f"{seconds:7.0f} s  {name}")

    def _enter(self, part: str) -> None:
        now = time.monotonic()
        self._seconds[self._part] += now - self._began
        self._part, self._began = part, now


def _turn(item: pytest.Item) -> int:
    """Say when a test's turn is: 0 for those without a cluster."""
    if item.get_closest_marker("cluster") is None:
        return 0
    if item.get_closest_marker("judges") is not None:
        return 3
    return 2 if item.get_closest_marker("alone") is not None else 1


def pytest_configure(config: pytest.Config) -> None:
    """Join in."""
    config.pluginmanager.register(Suite(config), "llmbatch-suite")
