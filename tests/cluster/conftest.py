import pytest

import tests.cluster
from tests.cluster import Cluster


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    found = tests.cluster.up()
    tests.cluster.build_images(found)
    return found
