"""Every command in the README and in the pages that it leads to first works, and prints what they say."""

import json
import re
import subprocess
import time
from collections.abc import Callable

import pytest
import yaml

from tests.cluster.paths import REPOSITORY
from tests.e2e.kube import Kube
from tests.e2e.release import Release
from tests.readme import blocks
from tests.readme.blocks import Command, Manifest
from tests.readme.conftest import documents

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
PAGES = [REPOSITORY / "docs" / name for name in ("index.md", "batchgateway.md", "reasons.md")]
WRITTEN = [
    item for text in (README, *(page.read_text(encoding="utf-8") for page in PAGES)) for item in blocks.read(text)
]
"""In the order in which somebody new reads them."""
JOB = REPOSITORY / "examples/batchjob-configmap.yaml"


def commands(program: str) -> list[str]:
    """Give the commands that begin with a word; those joined by && count for themselves."""
    every = [part.strip() for item in WRITTEN if isinstance(item, Command) for part in item.text.split("&&")]
    return [command for command in every if command.split()[0] == program]


def test_there_is_a_test_for_every_kind_of_command() -> None:
    parts = [part for item in WRITTEN if isinstance(item, Command) for part in item.text.split("&&")]
    programs = {part.split()[0] for part in parts}
    assert programs == {"git", "cd", "make", "docker", "helm", "export", "deck", "kubectl"}


@pytest.mark.parametrize("command", commands("make"))
def test_what_is_made_can_be_made(command: str) -> None:
    planned = subprocess.run([*command.split(), "-n"], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert planned.returncode == 0, planned.stderr


@pytest.mark.parametrize("command", commands("docker"))
def test_the_image_that_is_built_is_the_one_that_is_pushed_and_installed(command: str) -> None:
    match command.split():
        case ["docker", "build", "--target", target, "-t", image, "."]:
            assert re.search(rf"^FROM \S+ AS {target}$", (REPOSITORY / "Dockerfile").read_text(), re.MULTILINE)
        case ["docker", "push", image]:
            pass
        case _:
            pytest.fail(f"not known here: {command}")
    repository, _, tag = image.rpartition(":")
    chart = yaml.safe_load((REPOSITORY / "charts/llmbatch/Chart.yaml").read_text())
    assert tag == chart["appVersion"], "without image.tag, the chart takes its own version"
    assert all(f"--set image.repository={repository}" in install for install in commands("helm"))


@pytest.mark.parametrize("command", commands("deck"))
def test_decks_files_are_there_and_read_the_variables_that_are_exported(command: str) -> None:
    *verb, file = command.split()
    assert verb == ["deck", "gateway", "apply"]
    named = set(re.findall(r'env "(\w+)"', (REPOSITORY / file).read_text()))
    exported = [set(re.findall(r"\b(DECK_\w+)=", line)) for line in commands("export")]
    assert named in exported


def eventually(look: Callable[[], bool], what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < deadline, what
        time.sleep(0.2)


class Shell:
    """Runs commands as the README's reader does, at the top of the clone."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube

    def run(self, command: str) -> str:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=REPOSITORY, env=self._kube.cluster.env(), capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout

    def prints(self, command: Command) -> None:
        """Run a command until it prints what is shown; ages and URLs differ, and other objects may be listed too."""
        if not command.text.startswith("kubectl get"):
            assert self.run(command.text).splitlines() == list(command.shown)
            return
        wanted, printed = blocks.table(command.shown), ""

        def shown() -> bool:
            nonlocal printed
            printed = self.run(command.text)
            rows = blocks.table(printed.splitlines())
            return all(row in rows for row in wanted)

        try:
            eventually(shown, command.text)
        except AssertionError as error:
            raise AssertionError(f"{error}\nwanted:\n{chr(10).join(command.shown)}\nprinted:\n{printed}") from error


def failing_job() -> list[dict[str, object]]:
    """A job like the example's whose requests name a deployment that does not exist."""
    text = JOB.read_text(encoding="utf-8").replace("product-descriptions", "wrong-model")
    jobs = [item for item in yaml.safe_load_all(text) if item["kind"] == "BatchJob"]
    jobs[0]["spec"]["model"] = "gpt-5"
    return jobs


def test_the_readmes_manifest_is_the_example() -> None:
    (written,) = [
        item
        for item in blocks.read(README)
        if isinstance(item, Manifest) and yaml.safe_load(item.text)["kind"] == "BatchJob"
    ]
    (example,) = [item for item in documents(JOB) if item["kind"] == "BatchJob"]
    assert yaml.safe_load(written.text)["spec"] == example["spec"]


@pytest.mark.cluster
@pytest.mark.xdist_group("namespace default")
def test_every_kubectl_command_works_in_the_readmes_order(default: Kube, release: Release) -> None:
    shell = Shell(default)
    # It stands still while the README looks at a job under way.
    kong = release.instance("default", in_progress_seconds=3600, models=["gpt-4o"])
    default.run("apply", "-f", str(REPOSITORY / "examples/gateway-emulator.yaml"))
    default.run("apply", "-f", str(JOB))
    default.until("product-descriptions", lambda job: job.get("status", {}).get("phase") == "InProgress", "under way")
    kong.advance(1800)
    for item in WRITTEN:
        if isinstance(item, Manifest):
            apply_with_the_emulators_url(default, item, release.emulator_url)
        elif item.text.startswith("kubectl"):
            if "wrong-model" in "".join(item.shown):
                kong.configure(in_progress_seconds=0.5)
                default.apply(*failing_job())
            if item.shown:
                shell.prints(item)
            else:
                check_output(item.text, shell.run(item.text))
    assert kong.batches()


def apply_with_the_emulators_url(kube: Kube, manifest: Manifest, url: str) -> None:
    """Apply what the README shows; of the gateway, everything but where it is."""
    found = yaml.safe_load(manifest.text)
    if found["kind"] != "BatchGateway":
        return  # the example of the same content has been applied
    # What goes through the gateway is to be done before it becomes another, which is polled once a minute.
    kube.run("wait", "--for=condition=Ready", "batchjob/catalogue", "--timeout=90s")
    for header in found["spec"]["headers"]:
        reference = header["valueFrom"]["secretKeyRef"]
        kube.run("create", "secret", "generic", reference["name"], f"--from-literal={reference['key']}=any")
    # The README's own URL leads nowhere; the status is what the emulator's makes of it.
    found["spec"]["url"] = url
    kube.apply(found)


def check_output(command: str, printed: str) -> None:
    """See that a command whose output isn't shown tells what the README says it does."""
    if "base64" in command:
        assert sorted(json.loads(line)["custom_id"] for line in printed.splitlines()) == [
            f"prod{number}" for number in range(1, 6)
        ]
    assert printed.strip(), command


@pytest.mark.cluster
@pytest.mark.alone
@pytest.mark.parametrize("command", commands("helm"))
def test_the_chart_is_installed_as_written(release: Release, command: str) -> None:
    # The same image, and this release's own settings, so that later tests find it as it was.
    own = " ".join(release.values())
    changed = re.sub(r"--set image\.repository=\S+", "", command)
    Shell(release.kube).run(f"{changed} {own}")
    release.kube.run("rollout", "status", f"deployment/{release.name}", "--timeout=120s", seconds=130)
