"""Order, times, and the cluster's comings and goings: pytest -p tests.suite.plugin."""

import contextlib
import os
import time
from collections.abc import Generator, Iterator

import pytest
from _pytest.capture import CaptureManager

import tests.cluster

_FAST, _COMING_AND_GOING, _ON_CLUSTER = "fast tests", "the cluster's coming and going", "tests on the cluster"


class Suite:
    """One run of the whole suite."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._seconds = {_FAST: 0.0, _COMING_AND_GOING: 0.0, _ON_CLUSTER: 0.0}
        self._part, self._began = _FAST, time.monotonic()

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Put the tests on the cluster last: what fails without one is known sooner."""
        items.sort(key=_needs_cluster)

    # Around pytest-timeout's own wrapper, since a first run compiles Kubernetes, which takes longer than any test may.
    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Bring the cluster up before the first test that needs it."""
        if self._part == _FAST and _needs_cluster(item):
            self._enter(_COMING_AND_GOING)
            # The fixture tries again, and its test then fails with the reason.
            with self.shown(), contextlib.suppress(tests.cluster.ClusterError):
                print(flush=True)
                tests.cluster.build_images(tests.cluster.up())
            self._enter(_ON_CLUSTER)
        return (yield)

    def take_down(self) -> None:
        """Take the cluster down, if this run needed one, and look for traces."""
        if self._part == _FAST:
            return
        self._enter(_COMING_AND_GOING)
        with self.shown():
            print(flush=True)
            tests.cluster.down()
        left = tests.cluster.traces()
        assert not left, f"the cluster left traces: {left}"

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

    def shown(self) -> contextlib.AbstractContextManager[None]:
        """Let what is printed be seen while it happens."""
        manager = self._config.pluginmanager.getplugin("capturemanager")
        if isinstance(manager, CaptureManager):
            return manager.global_and_fixture_disabled()
        return contextlib.nullcontext()


def _needs_cluster(item: pytest.Item) -> bool:
    return item.get_closest_marker("cluster") is not None


@pytest.fixture(scope="session", autouse=True)
def left_as_found(pytestconfig: pytest.Config) -> Iterator[None]:
    """Take the cluster down after the last test if it wasn't up before the first; KEEP_CLUSTER=1 keeps it."""
    was_up = tests.cluster.find() is not None
    yield
    suite = pytestconfig.pluginmanager.getplugin("llmbatch-suite")
    if isinstance(suite, Suite) and not was_up and not os.environ.get("KEEP_CLUSTER"):
        suite.take_down()


def pytest_configure(config: pytest.Config) -> None:
    """Join in."""
    config.pluginmanager.register(Suite(config), "llmbatch-suite")
