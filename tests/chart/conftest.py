import pytest

from tests import cluster
from tests.chart import schemas
from tests.chart.helm import Chart


@pytest.fixture(scope="session")
def chart(tmp_path_factory: pytest.TempPathFactory) -> Chart:
    return Chart(cluster.ensure_tools(), schemas.custom(tmp_path_factory.mktemp("schemas")))
