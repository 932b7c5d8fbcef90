"""The pages of docs/: what they name is there, what they show is valid, and none is left out of the site."""

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from llmbatch.api.reasons import Reason
from tests import cluster
from tests.chart import schemas
from tests.chart.helm import Chart, manifests
from tests.cluster.paths import REPOSITORY
from tests.site import links
from tests.support import reasons_table

DOCS = REPOSITORY / "docs"
PAGES = sorted(DOCS.glob("*.md"))
SHOWN = [REPOSITORY / "README.md", *PAGES]
YAML = re.compile(r"^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!\w+:)([^)#\s]*)(?:#([^)\s]+))?\)")
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def name(path: Path) -> str:
    return path.name


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def anchors(path: Path) -> set[str]:
    """Give what GitHub and MkDocs make of a page's headings."""
    titles = re.findall(r"^#+ (.+)$", FENCED.sub("", read(path)), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.fixture(scope="module")
def chart(tmp_path_factory: pytest.TempPathFactory) -> Chart:
    return Chart(cluster.ensure_tools(), schemas.custom(tmp_path_factory.mktemp("schemas")))


@pytest.mark.parametrize("page", SHOWN, ids=name)
def test_every_link_leads_to_what_is_there(page: Path) -> None:
    for to, anchor in LINK.findall(FENCED.sub("", read(page))):
        target = page if not to else page.parent / to
        assert target.exists(), to
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), f"{to}#{anchor}"


@pytest.mark.parametrize("page", SHOWN, ids=name)
def test_every_test_that_is_named_is_there(page: Path) -> None:
    for file, test in TEST.findall(read(page)):
        assert re.search(rf"^(?:async )?def {test}\(", read(REPOSITORY / file), re.MULTILINE), f"{file}::{test}"


@pytest.mark.parametrize(
    "page", [page for page in SHOWN if "llmbatch.io/" in "".join(YAML.findall(read(page)))], ids=name
)
def test_every_manifest_that_is_shown_is_valid(chart: Chart, page: Path) -> None:
    shown = [
        block for block in YAML.findall(read(page)) if re.search("^kind: Batch(Job|Gateway)$", block, re.MULTILINE)
    ]
    finished = chart.conform("---\n".join(shown))
    assert finished.ok, finished.errors


def test_batchjob_and_batchgateway_are_shown_where_they_are_told_of() -> None:
    for page, kind in (("batchjob", "BatchJob"), ("batchgateway", "BatchGateway")):
        text = read(DOCS / f"{page}.md")
        first = YAML.findall(text)[0]
        assert {found["kind"] for found in manifests(first)} == {kind}
        assert text.index(first) < text.index("## Fields"), "the example comes first"


def test_a_manifest_with_an_unknown_field_is_refused(chart: Chart) -> None:
    (job, *_) = YAML.findall(read(DOCS / "batchjob.md"))
    finished = chart.conform(job.replace("endpoint:", "endpoints:"))
    assert not finished.ok
    assert "endpoints" in finished.errors


class Loader(yaml.SafeLoader):
    """Reads what is MkDocs' own (its tags) as nothing."""


def nothing(_: Loader, _suffix: str, _node: yaml.Node) -> None:
    return None


Loader.add_multi_constructor("!ENV", nothing)
Loader.add_multi_constructor("tag:yaml.org,2002:python/", nothing)


def pages_of(nav: Any) -> list[str]:
    """Give the pages of a navigation, in its order."""
    if isinstance(nav, str):
        return [nav]
    return [page for entry in (nav.values() if isinstance(nav, dict) else nav) for page in pages_of(entry)]


def test_the_site_has_every_page_and_no_other() -> None:
    config = yaml.load(read(REPOSITORY / "mkdocs.yml"), Loader=Loader)  # noqa: S506 - a safe one
    assert sorted(pages_of(config["nav"])) == [page.name for page in PAGES]


def test_the_readme_leads_to_every_page() -> None:
    linked = {to for to, _ in LINK.findall(read(REPOSITORY / "README.md")) if to.startswith("docs/")}
    assert {f"docs/{page.name}" for page in PAGES} == linked


def test_every_reason_is_told_of() -> None:
    assert reasons_table.unexplained() == []
    assert {reason for reason, meaning in reasons_table.declared() if meaning} == set(Reason)
    groups = [title for title, meaning in reasons_table.declared() if not meaning]
    assert groups[0].startswith("under way")
    assert len(groups) > 5


@pytest.mark.parametrize(("repository", "shown"), [
    pytest.param("", "See `examples/kong/azure.yaml` and the chart (`charts/llmbatch`).", id="where the sources are is not known"),
    pytest.param(
        "https://git.example.com/x/",
        "See [azure.yaml](https://git.example.com/x/blob/HEAD/examples/kong/azure.yaml)"
        " and [the chart](https://git.example.com/x/blob/HEAD/charts/llmbatch).", id="where the sources are is known",
    ),
])  # fmt: skip
def test_links_out_of_the_pages_say_in_the_site_what_they_lead_to(repository: str, shown: str) -> None:
    text = "See [azure.yaml](../examples/kong/azure.yaml) and [the chart](../charts/llmbatch)."
    assert links.rewritten(text, DOCS / "kong.md", repository) == shown
    kept = "[Kong](kong.md#x), [a site](https://example.com/y), ![a picture](dashboard.svg), [below](#fields)"
    assert links.rewritten(kept, DOCS / "index.md", repository) == kept


def test_the_site_is_built_without_a_warning_and_leads_nowhere_outside() -> None:
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    built = subprocess.run(
        ["make", "docs-site"], cwd=REPOSITORY, env=env, capture_output=True, text=True, timeout=280, check=False
    )
    assert built.returncode == 0, built.stdout + built.stderr
    site = REPOSITORY / "build/site"
    made = {path.parent.name: read(path) for path in site.glob("*/index.html")} | {"site": read(site / "index.html")}
    assert len(made) == len(PAGES)
    assert made["concepts"].count('class="mermaid"') == read(DOCS / "concepts.md").count("```mermaid")
    for page, text in made.items():
        led = re.findall(r'href="((?!\w+:|#)[^"#]*)', text)
        assert [to for to in led if re.search(r"\.(md|yaml|py)$|examples|operator|charts", to)] == [], page
