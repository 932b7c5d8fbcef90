"""python -m tests.dashboard.board: write the Grafana dashboard that the chart ships."""

from collections.abc import Iterator

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, statetimeline, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as shapes
from grafana_foundation_sdk.models import dashboard as models

from tests.cluster.paths import REPOSITORY
from tests.dashboard.panels import PRICES, ROWS, Panel

FILE = REPOSITORY / "charts/llmbatch/files/dashboards/llmbatch.json"
SOURCE = shapes.DataSourceRef(type_val="prometheus", uid="${datasource}")

Graph = timeseries.Panel | stat.Panel | statetimeline.Panel


def text() -> str:
    """Make the dashboard's JSON."""
    return f"{JSONEncoder(sort_keys=True, indent=1).encode(board().build())}\n"


def board() -> dashboard.Dashboard:
    """Put variables, rows and panels together."""
    made = (
        dashboard.Dashboard("llmbatch")
        .uid("llmbatch")
        .description("LLM batches on Kubernetes: jobs, tokens, gateways, and the operator itself.")
        .tags(["llmbatch"])
        .timezone("browser")
        .refresh("1m")
        .time("now-24h", "now")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
    )
    for variable in _variables():
        made = made.with_variable(variable)
    numbers = iter(range(1, 1000))
    for title, panels in ROWS.items():
        made = made.with_row(dashboard.Row(title).id(next(numbers)))
        for panel in panels:
            made = made.with_panel(graph(panel).id(next(numbers)))
    return made


def graph(panel: Panel) -> Graph:
    """Make a panel as Grafana has it."""
    made = _kind(panel)
    made = made.title(panel.title).description(panel.description).unit(panel.unit).datasource(SOURCE)
    made = made.span(panel.wide).height(panel.high or (4 if panel.kind == "stat" else 7))
    if panel.words:
        words = {number: models.ValueMappingResult(text=word) for number, word in panel.words.items()}
        made = made.mappings([models.ValueMap(options=words)])
    for letter, (legend, query) in zip("ABCDEF", panel.queries.items(), strict=False):
        made = made.with_target(prometheus.Dataquery().expr(query).legend_format(legend or panel.title).ref_id(letter))
    return made


def _kind(panel: Panel) -> Graph:
    match panel.kind:
        case "stat":
            marks = [models.Threshold(value=None, color="green")]
            if panel.red_from is not None:
                marks.append(models.Threshold(value=panel.red_from, color="red"))
            last = common.ReduceDataOptions().calcs(["lastNotNull"])
            return stat.Panel().reduce_options(last).thresholds(dashboard.ThresholdsConfig().steps(marks))
        case "timeline":
            marks = [models.Threshold(value=None, color="red"), models.Threshold(value=1, color="green")]
            if "stands by" in panel.words.values():
                marks[0] = models.Threshold(value=None, color="blue")
            by_value = dashboard.FieldColor().mode(models.FieldColorModeId.THRESHOLDS)
            return statetimeline.Panel().thresholds(dashboard.ThresholdsConfig().steps(marks)).color_scheme(by_value)
        case "lines":
            return timeseries.Panel().min(0)
        case "stacked" | "bars":
            stacked = common.StackingConfig().mode(shapes.StackingMode.NORMAL)
            style = shapes.GraphDrawStyle.BARS if panel.kind == "bars" else shapes.GraphDrawStyle.LINE
            return timeseries.Panel().min(0).stacking(stacked).fill_opacity(40).draw_style(style)


def _variables() -> Iterator[dashboard.DatasourceVariable | dashboard.QueryVariable | dashboard.TextBoxVariable]:
    yield dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus")
    for name, asked in (
        ("namespace", "label_values(llmbatch_gateway_ready, namespace)"),
        ("gateway", 'label_values(llmbatch_gateway_ready{namespace=~"$namespace"}, gateway)'),
    ):
        yield (
            dashboard.QueryVariable(name)
            .label(f"{name.capitalize()} of gateways" if name == "namespace" else "Gateway")
            .datasource(SOURCE)
            .query(asked)
            .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
            .sort(models.VariableSort.ALPHABETICAL_ASC)
            .multi(True)
            .include_all(True)
            .all_value(".*")
            .current(models.VariableOption(selected=True, text=["All"], value=["$__all"]))
        )
    for kind, price in PRICES.items():
        held = models.VariableOption(selected=True, text=price, value=price)
        yield (
            dashboard.TextBoxVariable(f"{kind}_price")
            .label(f"Price of a million {kind} tokens")
            .description("What you pay, in any currency; the price of batches is usually half of the other one.")
            .default_value(price)
            .current(held)
            .options([held])
        )


if __name__ == "__main__":
    FILE.parent.mkdir(parents=True, exist_ok=True)
    FILE.write_text(text(), encoding="utf-8")
