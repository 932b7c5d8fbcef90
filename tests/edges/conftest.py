"""One emulator for all of these tests, an instance of its own for each of them."""

import os
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from llmbatch.kube.client import Cluster
from tests.edges.collecting import FIVE, Done
from tests.emulator.client import Instance
from tests.emulator.server import EmulatorServer
from tests.support.apiserver import ApiServer
from tests.support.inprocess import cluster_of


@pytest.fixture(scope="session")
def emulator() -> Iterator[EmulatorServer]:
    with EmulatorServer() as server:
        yield server


@pytest.fixture
def kong(emulator: EmulatorServer) -> Instance:
    """Azure behind Kong."""
    return emulator.instance()


@pytest.fixture
async def api() -> AsyncIterator[ApiServer]:
    async with ApiServer().serve() as server:
        yield server


@pytest.fixture
async def cluster(api: ApiServer) -> AsyncIterator[Cluster]:
    made = cluster_of(api)
    yield made
    await made.close()


@pytest.fixture
def closed_port() -> str:
    """A URL at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return f"http://127.0.0.1:{port}"


@pytest.fixture
def five(kong: Instance, tmp_path: Path) -> Done:
    return Done(kong, tmp_path, *FIVE)


@pytest.fixture
def unwritable(tmp_path: Path) -> Iterator[Path]:
    """A folder that nobody may write: for root, who may write everywhere, a file system mounted read-only."""
    folder = tmp_path / "unwritable"
    folder.mkdir(mode=0o500)
    if os.geteuid() != 0:
        yield folder
        return
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "none", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)
