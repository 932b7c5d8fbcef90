"""The dashboard: every query of it is answered by a Prometheus that scrapes operators at work."""

import asyncio
import json
import math
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests import cluster
from tests.chart.metrics_table import OURS, registry
from tests.chart.test_alerts import names_of
from tests.dashboard import board
from tests.dashboard.answers import Json, Prometheus, Query, panels, queries
from tests.dashboard.panels import PRICES
from tests.dashboard.scene import Scene, playing

BOARD: Json = json.loads(board.FILE.read_text(encoding="utf-8"))
EVERY = [query for panel in panels(BOARD) for query in queries(panel)]
NAME = re.compile(r"\b(?:llmbatch|workqueue|process)_\w+")
PATIENCE_SECONDS = 90.0


@pytest.fixture
async def played(tmp_path: Path) -> AsyncIterator[tuple[Scene, Prometheus]]:
    async with playing(cluster.ensure_tools().prometheus, tmp_path) as both:
        yield both


async def ask_until_all_are_answered(
    scene: Scene, asked: list[str], answered: Callable[[str], bool], patience: float = PATIENCE_SECONDS
) -> list[str]:
    """Let jobs run on until every question has an answer; give those that have none when patience is at its end."""
    end = asyncio.get_running_loop().time() + patience
    while missing := [one for one in asked if not await asyncio.to_thread(answered, one)]:
        if asyncio.get_running_loop().time() > end:
            return missing
        await asyncio.to_thread(scene.wave)
        await asyncio.sleep(1)
    return []


async def test_prometheus_has_an_answer_to_every_query_while_jobs_run(played: tuple[Scene, Prometheus]) -> None:
    scene, prometheus = played

    def a_number(expression: str) -> bool:
        return any(not math.isnan(float(found["value"][1])) for found in prometheus.now(expression))

    asked = {query.expression for query in EVERY}
    # `or vector(0)` answers for a metric that is not there, so each metric is asked for by itself too.
    asked |= {name for query in EVERY for name in NAME.findall(query.expression)}
    assert await ask_until_all_are_answered(scene, sorted(asked), a_number) == []
    told = prometheus.now("count by (namespace) (llmbatch_gateway_ready)")
    assert {found["metric"]["namespace"] for found in told} == {"team-a", "team-b"}, "not that of the operator"
    # In one question, since tokens are spent meanwhile.
    tokens = {kind: f'sum(increase(llmbatch_gateway_tokens_total{{kind="{kind}"}}[1h]))' for kind in PRICES}
    by_hand = " + ".join(f"{asked} * {PRICES[kind]}" for kind, asked in tokens.items())
    for title in ("Spend by namespace", "Spend by gateway"):
        (shown,) = (query.expression for query in EVERY if query.panel == title)
        assert prometheus.now(f"sum({shown}) > 0"), title
        (apart,) = prometheus.now(f"sum({shown}) * 1e6 - ({by_hand})")
        assert float(apart["value"][1]) == pytest.approx(0, abs=1e-6), title


def test_every_metric_that_it_asks_for_is_one_that_the_operator_has() -> None:
    asked = {name for query in EVERY for name in NAME.findall(query.expression)}
    assert asked <= names_of(registry())


def test_every_metric_of_the_operator_has_a_panel() -> None:
    asked = " ".join(query.expression for query in EVERY)
    names = {family.name for family in registry().collect() if family.name.startswith(OURS)}
    assert [name for name in sorted(names) if name not in asked] == []


def test_no_two_panels_overlap_and_none_is_wider_than_the_screen() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in BOARD["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells


def test_every_panel_says_what_it_shows_and_takes_the_chosen_data_source() -> None:
    for panel in panels(BOARD):
        assert panel["description"], panel["title"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


def test_the_choice_of_namespace_and_gateway_holds_for_all_that_is_told_of_gateways() -> None:
    variables = [variable["name"] for variable in BOARD["templating"]["list"]]
    assert variables == ["datasource", "namespace", "gateway", "input_price", "output_price"]
    for target in (target for panel in panels(BOARD) for target in panel["targets"]):
        of_gateways = re.findall(r"llmbatch_gateway_(?:ready|\w+_batches|tokens_total)(\S*)", target["expr"])
        assert all('namespace=~"$namespace",gateway=~"$gateway"}' in found for found in of_gateways), target["expr"]


def test_the_prices_are_boxes_to_write_into_that_hold_a_number_at_first_and_say_whose_they_are() -> None:
    boxes = [variable for variable in BOARD["templating"]["list"] if variable["type"] == "textbox"]
    assert {box["name"]: float(box["query"]) for box in boxes} == {"input_price": 1.25, "output_price": 5}
    assert all(box["current"]["value"] == box["query"] for box in boxes)
    priced = [panel for panel in panels(BOARD) if "_price" in json.dumps(panel["targets"])]
    assert [panel["title"] for panel in priced] == ["Spend", "Spend by namespace", "Spend by gateway"]
    for panel in priced:
        assert all(f"${box['name']}" in panel["targets"][0]["expr"] for box in boxes)
        assert "yours to set" in panel["description"]
        assert "usually half" in panel["description"]


def test_the_file_is_what_the_panels_make() -> None:
    assert board.FILE.read_text(encoding="utf-8") == board.text(), "run make docs"


def test_a_query_is_asked_as_grafana_asks_it() -> None:
    (one,) = queries(
        {"title": "t", "targets": [{"expr": 'rate(x{namespace=~"$namespace"}[$__rate_interval])', "legendFormat": "l"}]}
    )
    assert one == Query("t", "l", 'rate(x{namespace=~".*"}[5s])')
