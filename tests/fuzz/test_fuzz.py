"""Nothing that is written into an input or an answer breaks the reader, holds it up, or makes it say something wrong."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from tests.fuzz import run, targets
from tests.fuzz.strategies import inputs

GUIDED = 2000
"""Cases for each target here; `make fuzz` tries a million."""


@pytest.mark.parametrize("target", targets.TARGETS)
def test_every_seed_gets_the_models_verdict(target: str) -> None:
    folder, check = targets.TARGETS[target]
    for seed in targets.seeds(folder):
        check(seed)


@pytest.mark.parametrize("target", targets.TARGETS)
def test_whatever_is_generated_gets_the_models_verdict(target: str) -> None:
    folder, check = targets.TARGETS[target]
    made = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
    made(given(inputs(folder))(check))()


@pytest.mark.skipif(not run.has_atheris(), reason="Atheris has no wheel for this Python")
@pytest.mark.parametrize("target", targets.TARGETS)
def test_a_guided_search_finds_nothing(target: str, tmp_path: Path) -> None:
    ran = run.fuzz(target, "guided", GUIDED, tmp_path, seed=1, seconds=120)
    assert not ran.failed, ran
    assert ran.cases >= GUIDED


@pytest.mark.skipif(not run.has_atheris(), reason="Atheris has no wheel for this Python")
@pytest.mark.parametrize("way", ["guided", "generated"])
@pytest.mark.parametrize("target", ["planted-crash", "planted-loop", "planted-memory"])
def test_a_finding_fails_the_run_and_is_kept(target: str, way: run.Way, tmp_path: Path) -> None:
    ran = run.fuzz(target, way, 100_000, tmp_path, seed=1, seconds=120, FUZZ_CASE_SECONDS="3")
    assert ran.failed
    assert any(b"}" in path.read_bytes() for path in ran.findings), ran
