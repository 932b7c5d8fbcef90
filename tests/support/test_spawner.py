"""What the spawner promises to tests that run operators as processes."""

import socket
import subprocess
import sys
import time
from pathlib import Path

from tests.support.inprocess import kubeconfig_of

ASKS = """
import asyncio, os, sys, time
from pathlib import Path
from tests.support import spawner

async def main():
    made = await spawner.llmbatch("operator", env={**os.environ, "KUBECONFIG": sys.argv[1]}, log=Path(sys.argv[2]))
    print(made.pid, flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


def _runs(pid: int) -> bool:
    try:
        # One that has ended and that nobody has asked about has no command line.
        return Path(f"/proc/{pid}/cmdline").read_bytes() != b""
    except OSError:
        return False


def test_a_process_ends_with_whoever_asked_for_it_even_if_that_is_killed(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        # It takes connections and never answers, so that the operator goes on asking.
        arguments = kubeconfig_of(f"http://127.0.0.1:{silent.getsockname()[1]}", tmp_path), tmp_path / "log"
        with subprocess.Popen([sys.executable, "-c", ASKS, *arguments], stdout=subprocess.PIPE, text=True) as asking:
            assert asking.stdout is not None
            pid = int(asking.stdout.readline())
            time.sleep(2)
            assert _runs(pid), (tmp_path / "log").read_text()
            asking.kill()
        deadline = time.monotonic() + 60
        while _runs(pid):
            assert time.monotonic() < deadline, "it goes on"
            time.sleep(0.1)
