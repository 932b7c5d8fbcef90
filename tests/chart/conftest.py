import pytest

from tests import cluster
from tests.chart import schemas
from tests.chart.helm import Chart
from tests.cluster import tools


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever asks something of Helm asks it of Helm 4 as well."""
    for item in items:
        if "chart" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.helm4)


@pytest.fixture(scope="session")
def chart(tmp_path_factory: pytest.TempPathFactory) -> Chart:
    """The chart, as Helm 3 and Helm 4 see it."""
    found = cluster.ensure_tools()
    return Chart(found, schemas.custom(tmp_path_factory.mktemp("schemas")), (tools.helm4(),))
