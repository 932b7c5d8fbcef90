"""Progress of what takes long, to be seen while tests run."""

import contextlib

import pytest
from _pytest.capture import CaptureManager


def shown(config: pytest.Config) -> contextlib.AbstractContextManager[None]:
    """Let what is printed be seen while it happens."""
    manager = config.pluginmanager.getplugin("capturemanager")
    if isinstance(manager, CaptureManager):
        return manager.global_and_fixture_disabled()
    return contextlib.nullcontext()
