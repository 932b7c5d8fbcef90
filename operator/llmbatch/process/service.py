"""Starts the operator's commands from their environment: settings, JSON logs, event loop."""

import asyncio
import logging
import sys
from collections.abc import Coroutine

from pydantic import ValidationError

from llmbatch.kube.client import NoClusterError
from llmbatch.process import logs
from llmbatch.process.main import operate
from llmbatch.process.release import release
from llmbatch.process.selftest import Asked, selftest
from llmbatch.settings import PREFIX, Settings


def serve() -> int:
    """Run the operator; answers the exit code."""
    settings = _settings()
    return 2 if settings is None else _run(operate(settings))


def release_all(selector: str, wait_seconds: float) -> int:
    """Take the finalizer off all BatchJobs, once no pod that the selector names is left; answers the exit code."""
    settings = _settings()
    return 2 if settings is None else _run(release(settings, selector, wait_seconds))


def check_release(selector: str, gateway_url: str, name: str, wait_seconds: float) -> int:
    """Look whether a release works, with a BatchJob if there is a gateway for it; answers the exit code."""
    settings = _settings()
    return 2 if settings is None else _run(selftest(settings, Asked(selector, gateway_url, name, wait_seconds)))


def _run(command: Coroutine[None, None, int]) -> int:
    try:
        return asyncio.run(command)
    except NoClusterError as error:
        sys.stderr.write(f"{error}\n")
        return 2


def _settings() -> Settings | None:
    try:
        settings = Settings.from_environment()
    except ValidationError as error:
        for flaw in error.errors():
            name = PREFIX + str(flaw["loc"][0]).upper() if flaw["loc"] else f"{PREFIX}…"
            sys.stderr.write(f"{name} can't be used: {flaw['msg'].removeprefix('Value error, ')}\n")
        return None
    logs.configure(settings.log_level)
    # Kopf says of every event that its handler succeeded, and of every watch that it began anew.
    logging.getLogger("kopf").setLevel(logging.WARNING)
    return settings
