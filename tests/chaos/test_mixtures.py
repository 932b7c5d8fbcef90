"""What is rarely combined, combined by chance: each job ends or is gone, as its results and the provider's record show."""

import asyncio
from pathlib import Path

import pytest

from tests.chaos.mixtures import Mixture
from tests.emulator.server import EmulatorServer


@pytest.mark.parametrize("seeds", [range(2)], ids=["two seeds"])
async def test_whatever_is_combined_every_job_ends_with_all_its_results(tmp_path: Path, seeds: range) -> None:
    with EmulatorServer() as emulator:
        made = [Mixture(seed, tmp_path / str(seed), emulator) for seed in seeds]
        wrong = await asyncio.gather(*(mixture.play() for mixture in made))
    told = {mixture.seed: (found, mixture.told) for mixture, found in zip(made, wrong, strict=True) if found}
    assert told == {}
