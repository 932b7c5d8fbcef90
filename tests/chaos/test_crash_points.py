"""Wherever a process dies: it comes back, the job ends right, and there is one batch, with all its results."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from llmbatch.crash import Effect
from tests.chaos.lives import DEATHS, LIVES, Death
from tests.chaos.play import Play
from tests.emulator.server import EmulatorServer

AT_THE_SAME_TIME = 4


@pytest.fixture(scope="module")
def played(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[dict[Death, Future[None]]]:
    """All lives, several at the same time: each spends most of it waiting."""
    chosen = [
        item.callspec.params["death"]
        for item in request.session.items
        if item.path == request.path and hasattr(item, "callspec")
    ]
    with EmulatorServer() as emulator, ThreadPoolExecutor(AT_THE_SAME_TIME) as threads:

        def play(death: Death, folder: Path) -> None:
            asyncio.run(Play(death, emulator.instance(), folder).run())

        yield {
            death: threads.submit(play, death, tmp_path_factory.mktemp(f"death-{number}"))
            for number, death in enumerate(chosen)
        }
        threads.shutdown(cancel_futures=True)


@pytest.mark.parametrize("death", DEATHS, ids=str)
def test_after_a_death_there_is_one_batch_with_all_its_results(death: Death, played: dict[Death, Future[None]]) -> None:
    played[death].result()


def test_there_is_a_life_for_every_place() -> None:
    assert {effect for _, effect in LIVES} == set(Effect)
