"""A picture of what a job costs, by how many there are at once: an SVG without anything that changes by itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT, GAP, MARGIN = 240, 180, 40, 30


@dataclass(frozen=True)
class Chart:
    """One figure for each number of jobs, and its bound."""

    title: str
    unit: str
    bound: float
    figures: Mapping[int, float]
    """By number of jobs."""


def svg(charts: Sequence[Chart]) -> str:
    """Draw charts beside each other."""
    whole = len(charts) * (WIDTH + GAP) + GAP, HEIGHT + 2 * GAP + MARGIN
    drawn = "\n".join(_chart(chart, GAP + number * (WIDTH + GAP)) for number, chart in enumerate(charts))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {whole[0]} {whole[1]}" font-family="sans-serif" font-size="12">\n'
        f'<rect width="{whole[0]}" height="{whole[1]}" fill="white"/>\n{drawn}\n</svg>\n'
    )


def _chart(chart: Chart, left: int) -> str:
    top, bottom = GAP, GAP + HEIGHT
    most = 1.15 * max(chart.bound, *chart.figures.values())
    wide = WIDTH / max(1, len(chart.figures))
    parts = [f'<text x="{left}" y="{top - 14}" font-weight="bold">{chart.title}</text>']
    for number, (jobs, figure) in enumerate(chart.figures.items()):
        high = HEIGHT * figure / most
        x = left + number * wide + 0.15 * wide
        middle = x + 0.35 * wide
        parts += [
            f'<rect x="{x:.1f}" y="{bottom - high:.1f}" width="{0.7 * wide:.1f}" height="{high:.1f}" fill="#4477aa"/>',
            f'<text x="{middle:.1f}" y="{bottom - high - 4:.1f}" text-anchor="middle">{figure:.3g}</text>',
            f'<text x="{middle:.1f}" y="{bottom + 16}" text-anchor="middle">{jobs:,} jobs</text>',
        ]
    line = bottom - HEIGHT * chart.bound / most
    parts += [
        f'<line x1="{left}" x2="{left + WIDTH}" y1="{line:.1f}" y2="{line:.1f}" stroke="#cc3311" stroke-dasharray="4 3"/>',
        f'<text x="{left + WIDTH}" y="{line - 4:.1f}" text-anchor="end" fill="#cc3311">aim: at most {chart.bound:g} {chart.unit}</text>',
        f'<line x1="{left}" x2="{left + WIDTH}" y1="{bottom}" y2="{bottom}" stroke="black"/>',
    ]
    return "\n".join(parts)
