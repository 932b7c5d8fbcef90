"""python -m tests.emulator: serve until told to stop. Every option is also an environment variable, EMULATOR_…"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.emulator import serving
from tests.emulator.config import ConfigError


def _setting(name: str, default: str | None) -> str | None:
    value = os.environ.get(f"EMULATOR_{name}")
    # Kubernetes sets EMULATOR_PORT=tcp://… in the pods beside a Service named "emulator".
    return default if not value or value.startswith("tcp://") else value


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.emulator", description=__doc__)
    parser.add_argument("--host", default=_setting("HOST", "127.0.0.1"), help="address to listen on; :: takes all")
    parser.add_argument("--port", type=int, default=_setting("PORT", "8000"), help="port to listen on; 0: any free one")
    parser.add_argument("--state-dir", default=_setting("STATE_DIR", None), help="where to keep files and batches")
    parser.add_argument("--config", default=_setting("CONFIG", None), help="of the default instance: JSON, or @FILE")
    parser.add_argument("--certfile", default=_setting("CERTFILE", None), help="serve HTTPS with this certificate")
    parser.add_argument("--keyfile", default=_setting("KEYFILE", None), help="its key")
    parser.add_argument(
        "--client-ca", default=_setting("CLIENT_CA", None), help="ask clients for a certificate of this CA"
    )
    return parser.parse_args()


def _config(given: str | None) -> Mapping[str, Any] | None:
    if given is None:
        return None
    text = Path(given[1:]).read_text() if given.startswith("@") else given
    config = json.loads(text)
    if not isinstance(config, dict):
        raise ConfigError("the configuration has to be a JSON object")
    return config


def main() -> None:
    options = _options()
    with contextlib.ExitStack() as stack:
        # With a state directory nothing else is written: the root file system may be read-only.
        state_dir = options.state_dir or stack.enter_context(tempfile.TemporaryDirectory(prefix="llmbatch-emulator-"))
        try:
            server = serving.server(
                Path(state_dir),
                host=options.host,
                port=options.port,
                config=_config(options.config),
                tls=serving.Tls(options.certfile, options.keyfile, options.client_ca),
            )
            sockets = serving.listeners(options.host, options.port)
        except (ConfigError, json.JSONDecodeError, OSError) as problem:
            raise SystemExit(f"The emulator can't start: {problem}") from problem
        server.run(sockets=sockets)


if __name__ == "__main__":
    main()
