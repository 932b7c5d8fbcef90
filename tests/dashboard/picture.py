"""python -m tests.dashboard.picture: draw docs/dashboard.svg, the dashboard with what Prometheus answers while jobs run."""

import asyncio
import html
import json
import math
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests import cluster
from tests.cluster.paths import REPOSITORY
from tests.dashboard import board
from tests.dashboard.answers import Json, Prometheus, Series, panels, queries
from tests.dashboard.scene import playing

FILE = REPOSITORY / "docs/dashboard.svg"
PLAYED_SECONDS = 60
BETWEEN_SECONDS = 2
READY = "count(llmbatch_gateway_ready == 1) >= 2 and count(llmbatch_leader) == 2"
"""Both operators are there, and jobs can begin."""
COLUMN, ROW, GAP = 50, 26, 8
"""Pixels of a column and a row of Grafana's grid, and between panels."""
COLOURS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#bbbbbb", "#332288", "#ee8866", "#44aa99")
LEGENDS = 4
"""Legends that a panel has room for."""
UNITS = {"s": "s", "bytes": "B", "Bps": "B/s", "reqps": "/s", "ops": "/s", "percentunit": "%"}


async def draw() -> str:
    """Have jobs run for a minute, and draw what Prometheus then knows."""
    program = cluster.ensure_tools().prometheus
    with tempfile.TemporaryDirectory() as folder:
        async with playing(program, Path(folder)) as (scene, prometheus):
            while not await asyncio.to_thread(prometheus.now, READY):  # noqa: ASYNC110 - other processes set no event
                await asyncio.sleep(0.5)
            began = time.time()
            while time.time() < began + PLAYED_SECONDS:
                await asyncio.to_thread(scene.wave)
                await asyncio.sleep(BETWEEN_SECONDS)
            return await asyncio.to_thread(picture, prometheus, began, time.time())


def picture(prometheus: Prometheus, begin: float, end: float) -> str:
    """Draw all panels where Grafana has them."""
    whole = json.loads(board.FILE.read_text(encoding="utf-8"))
    drawn = []
    for panel in whole["panels"]:
        place = panel["gridPos"]
        left, top = place["x"] * COLUMN + GAP, place["y"] * ROW + GAP
        if panel["type"] == "row":
            drawn.append(f'<text x="{left}" y="{top + 17}" font-size="14" font-weight="bold">{panel["title"]}</text>')
    for panel in panels(whole):
        step = (end - begin) / 60
        found = [series for query in queries(panel) for series in prometheus.range(query, begin, end, step)]
        # Not all legends have room: what there is most of comes first.
        drawn += _panel(panel, sorted(found, key=_most, reverse=True), begin, end)
    high = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in whole["panels"]) * ROW + GAP
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {24 * COLUMN + GAP} {high}" font-family="sans-serif"'
        f' font-size="11">\n<rect width="100%" height="100%" fill="#f4f5f5"/>\n' + "\n".join(drawn) + "\n</svg>\n"
    )


def _panel(panel: Json, found: Sequence[Series], begin: float, end: float) -> Iterator[str]:
    place = panel["gridPos"]
    left, top = place["x"] * COLUMN + GAP, place["y"] * ROW + GAP
    wide, high = place["w"] * COLUMN - GAP, place["h"] * ROW - GAP
    unit = panel["fieldConfig"]["defaults"].get("unit", "")
    yield f'<rect x="{left}" y="{top}" width="{wide}" height="{high}" fill="white" stroke="#d0d3d6"/>'
    yield f'<text x="{left + 6}" y="{top + 15}" font-weight="bold">{html.escape(panel["title"])}</text>'
    match panel["type"]:
        case "stat":
            value = found[0].points[-1][1] if found else math.nan
            steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
            colour = [step["color"] for step in steps if step["value"] is None or value >= step["value"]][-1]
            middle, bottom = left + wide / 2, top + high / 2 + 22
            shown = f'text-anchor="middle" font-size="30" fill="{colour}"'
            yield f'<text x="{middle:g}" y="{bottom:g}" {shown}>{_number(value, unit)}</text>'
        case "state-timeline":
            yield from _bands(panel, found, (left + 100, top + 24, wide - 110, high - 34), begin, end)
        case _:
            yield from _lines(found, unit, (left + 44, top + 24, wide - 54, high - 38 - 13 * LEGENDS), begin, end)
            yield from _legends(found, left + 8, top + high - 13 * LEGENDS)


def _most(series: Series) -> float:
    return max((value for _, value in series.points if math.isfinite(value)), default=0.0)


Box = tuple[float, float, float, float]
"""Left, top, width, height."""


def _lines(found: Sequence[Series], unit: str, box: Box, begin: float, end: float) -> Iterator[str]:
    left, top, wide, high = box
    most = max(map(_most, found), default=0) or 1
    for share in (0, 0.5, 1):
        y = top + high * (1 - share)
        yield f'<line x1="{left}" x2="{left + wide}" y1="{y:.1f}" y2="{y:.1f}" stroke="#e4e7e7"/>'
        yield f'<text x="{left - 4}" y="{y + 4:.1f}" text-anchor="end" font-size="9">{_number(share * most, unit)}</text>'
    for colour, one in zip(COLOURS, found, strict=False):
        points = " ".join(
            f"{left + wide * (at - begin) / (end - begin):.1f},{top + high * (1 - value / most):.1f}"
            for at, value in one.points
            if math.isfinite(value)
        )
        yield f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>'


def _legends(found: Sequence[Series], left: float, top: float) -> Iterator[str]:
    for number, (colour, one) in enumerate(zip(COLOURS, found[:LEGENDS], strict=False)):
        y = top + 13 * number
        more = f" and {len(found) - LEGENDS} more" if number == LEGENDS - 1 and len(found) > LEGENDS else ""
        yield f'<rect x="{left}" y="{y}" width="10" height="3" fill="{colour}"/>'
        yield f'<text x="{left + 15}" y="{y + 5}" font-size="10">{html.escape(one.legend + more)}</text>'


def _bands(panel: Json, found: Sequence[Series], box: Box, begin: float, end: float) -> Iterator[str]:
    left, top, wide, high = box
    defaults = panel["fieldConfig"]["defaults"]
    words = {number: said["text"] for number, said in defaults["mappings"][0]["options"].items()}
    tall = high / max(1, len(found))
    for number, one in enumerate(found):
        y = top + number * tall
        yield f'<text x="{left - 6}" y="{y + tall / 2 + 3:.1f}" text-anchor="end" font-size="9">{html.escape(one.legend)}</text>'
        changes = [
            (at, value)
            for number, (at, value) in enumerate(one.points)
            if not number or one.points[number - 1][1] != value
        ]
        for (at, value), (until, _) in zip(changes, [*changes[1:], (end, 0.0)], strict=True):
            steps = defaults["thresholds"]["steps"]
            colour = [step["color"] for step in steps if step["value"] is None or value >= step["value"]][-1]
            x, w = left + wide * (at - begin) / (end - begin), wide * (until - at) / (end - begin)
            yield f'<rect x="{x:.1f}" y="{y + 2:.1f}" width="{w:.1f}" height="{tall - 4:.1f}" fill="{colour}" opacity="0.5"/>'
        said = html.escape(words.get(f"{one.points[-1][1]:g}", ""))
        yield f'<text x="{left + wide / 2:.1f}" y="{y + tall / 2 + 3:.1f}" text-anchor="middle">{said}</text>'


def _number(value: float, unit: str) -> str:
    if unit == "percentunit":
        return f"{100 * value:.3g} %"
    for power, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= power and unit != "s":
            return f"{value / power:.3g} {prefix}{UNITS.get(unit, '')}".strip()
    if unit == "s" and 0 < abs(value) < 1:
        return f"{1000 * value:.3g} ms"
    return f"{value:.3g} {UNITS.get(unit, '')}".strip()


if __name__ == "__main__":
    FILE.write_text(asyncio.run(draw()), encoding="utf-8")
