"""python -m tests.gitops.argocd_cm: write the form of our Lua that goes into Argo CD's argocd-cm, from the form that its
own repository has (resource_customizations/), which is what we edit."""

from pathlib import Path

import yaml

from tests.cluster.paths import REPOSITORY

FOLDER = REPOSITORY / "examples/gitops/argocd"
LUA = FOLDER / "resource_customizations/llmbatch.io"
PAGE = FOLDER / "argocd-cm.yaml"

_HEAD = """\
# Health of BatchJobs and BatchGateways for Argo CD, and the action "Resubmit" of a BatchJob that has ended.
#
#   kubectl patch configmap argocd-cm --namespace argocd --patch-file argocd-cm.yaml
#
# Made by `make docs` from resource_customizations/, which has the form of Argo CD's own repository: edit it there.
"""


class _Text(str):
    """Text that is written as a block, as a person would."""


def _block(dumper: yaml.SafeDumper, text: _Text) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", str(text), style="|")


class _Dumper(yaml.SafeDumper):
    pass


_Dumper.add_representer(_Text, _block)


def text() -> str:
    """Make the patch of argocd-cm."""
    data: dict[str, str] = {}
    for kind in sorted(path.name for path in LUA.iterdir()):
        data[f"resource.customizations.health.llmbatch.io_{kind}"] = _lua(LUA / kind / "health.lua")
        if (actions := LUA / kind / "actions").is_dir():
            definitions = [
                {"name": action.name, "action.lua": _lua(action / "action.lua")}
                for action in sorted(actions.iterdir())
                if (action / "action.lua").is_file()
            ]
            said = {"discovery.lua": _lua(actions / "discovery.lua"), "definitions": definitions}
            data[f"resource.customizations.actions.llmbatch.io_{kind}"] = _Text(_dump(said))
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "argocd-cm"}, "data": data}
    return _HEAD + _dump(config)


def _lua(path: Path) -> str:
    return _Text(path.read_text(encoding="utf-8"))


def _dump(value: object) -> str:
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, width=1000)


if __name__ == "__main__":
    PAGE.write_text(text(), encoding="utf-8")
