"""Starts the operator from its environment: settings, JSON logs, event loop."""

import asyncio
import logging
import sys

from pydantic import ValidationError

from llmbatch.controller.process import operate
from llmbatch.edges import logs
from llmbatch.settings import PREFIX, Settings


def serve() -> int:
    """Run the operator; answers the exit code."""
    try:
        settings = Settings.from_environment()
    except (ValidationError, ValueError) as error:
        sys.stderr.write(f"A setting can't be used ({PREFIX}… variables): {error}\n")
        return 2
    logs.configure(settings.log_level)
    # Kopf says of every event that its handler succeeded, and of every watch that it began anew.
    logging.getLogger("kopf").setLevel(logging.WARNING)
    return asyncio.run(operate(settings))
