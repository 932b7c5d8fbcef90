"""What runs for a push and for a tag runs only what a person can run too, and only actions that can't change."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.paths import REPOSITORY

WORKFLOWS = sorted((REPOSITORY / ".github/workflows").iterdir())


def steps(path: Path) -> list[dict[str, Any]]:
    jobs = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"]
    return [step for job in jobs.values() for step in job["steps"]]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_an_action_is_named_by_its_commit(path: Path) -> None:
    used = [step["uses"] for step in steps(path) if "uses" in step]
    assert used
    assert [action for action in used if not re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}", action)] == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_may_read_the_repository_and_nothing_else(path: Path) -> None:
    assert yaml.safe_load(path.read_text(encoding="utf-8"))["permissions"] == {"contents": "read"}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_secret_is_in_no_command_line(path: Path) -> None:
    # As a variable of one step it is in no log; `${{ }}` in a script would be replaced before the shell reads it.
    assert [step["run"] for step in steps(path) if "${{" in step.get("run", "")] == []


@pytest.mark.parametrize(("name", "command"), [("ci.yaml", ".ci/run"), ("release.yaml", "make release ")])
def test_the_work_is_done_by_what_a_person_runs(name: str, command: str) -> None:
    runs = [step["run"] for step in steps(REPOSITORY / ".github/workflows" / name) if "run" in step]
    assert len([run for run in runs if command in run]) == 1
