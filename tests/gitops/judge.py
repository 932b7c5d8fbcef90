"""What Flux and Argo CD make of objects: their own libraries, asked of many objects at once."""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.cluster.gomodule import Module
from tests.gitops import programs
from tests.gitops.argocd_cm import LUA
from tests.gitops.programs import ARGO_CD, KUSTOMIZE_CONTROLLER

Json = dict[str, Any]


def kstatus(objects: Sequence[Json]) -> list[str]:
    """Give Flux's kstatus of each: Current, InProgress, Failed or Terminating."""
    return [item["status"] for item in _ask(KUSTOMIZE_CONTROLLER, ["kstatus"], objects)]


def health(kind: str, objects: Sequence[Json]) -> list[Json]:
    """Give Argo CD's health of each, by our Lua: {status, message}."""
    return _ask(ARGO_CD, ["judge", "health", LUA / kind / "health.lua"], objects)


def actions(kind: str, obj: Json) -> Any:
    """Give the actions that Argo CD offers of an object."""
    return _ask(ARGO_CD, ["judge", "discovery", LUA / kind / "actions/discovery.lua"], [obj])[0]


def act(kind: str, action: str, obj: Json) -> list[Json]:
    """Give what an action of Argo CD does: {operation, resource} of each object it touches."""
    done: list[Json] = _ask(ARGO_CD, ["judge", "action", LUA / kind / "actions" / action / "action.lua"], [obj])[0]
    return done


def _ask(module: Module, command: Sequence[str | Path], objects: Sequence[Json]) -> list[Any]:
    programs.ensure(module)
    program, *arguments = command
    done = subprocess.run(
        [module.program(str(program)), *arguments],
        input="".join(json.dumps(item) + "\n" for item in objects), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == len(objects)
    return answers
