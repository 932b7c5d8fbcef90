"""Where images come from: registry, tag or digest, and credentials."""

import pytest

from llmbatch.settings import Settings
from tests.chart.helm import Chart, Manifest, Values, named, of_kind
from tests.chart.test_templates import container, environment

DIGEST = f"sha256:{'0a' * 32}"


def images(found: list[Manifest]) -> dict[str, str]:
    """Give the image of each Deployment and Job."""
    kinds = ("Deployment", "Job")
    return {item["metadata"]["name"]: container(item)["image"] for kind in kinds for item in of_kind(found, kind)}


def settings(found: list[Manifest]) -> Settings:
    return Settings.from_environment(environment(named(found, "Deployment", "llmbatch")))


def test_a_digest_comes_in_place_of_the_tag_wherever_the_image_is_used(chart: Chart) -> None:
    found = chart.render({
        "image": {"repository": "registry.example.com/llmbatch", "tag": "1.2.3", "digest": DIGEST},
        "emulator": {"enabled": True, "image": {"repository": "registry.example.com/emulator", "digest": DIGEST}},
    })  # fmt: skip
    operator = f"registry.example.com/llmbatch@{DIGEST}"
    emulator = f"registry.example.com/emulator@{DIGEST}"
    assert images(found) == {
        "llmbatch": operator, "llmbatch-uninstall": operator, "llmbatch-emulator": emulator,
    }  # fmt: skip
    assert settings(found).image == operator


@pytest.mark.parametrize(("registry", "repository", "expected"), [
    pytest.param("", "localhost/llmbatch", "localhost/llmbatch", id="none is given"),
    pytest.param("mirror.example.com", "localhost/llmbatch", "mirror.example.com/llmbatch", id="in place of localhost"),
    pytest.param("mirror.example.com", "registry.example.com/a/b", "mirror.example.com/a/b", id="in place of a host"),
    pytest.param("mirror.example.com", "registry:5000/a", "mirror.example.com/a", id="in place of a host with a port"),
    pytest.param("mirror.example.com", "team/llmbatch", "mirror.example.com/team/llmbatch", id="before a path"),
    pytest.param("mirror.example.com", "llmbatch", "mirror.example.com/llmbatch", id="before a name"),
    pytest.param("mirror.example.com", "v1.llmbatch", "mirror.example.com/v1.llmbatch", id="before a name with a dot"),
    pytest.param("mirror:5000/proxy/", "localhost/a", "mirror:5000/proxy/a", id="with a path of its own"),
])  # fmt: skip
def test_one_registry_for_all_images(chart: Chart, registry: str, repository: str, expected: str) -> None:
    found = chart.render({
        "global": {"imageRegistry": registry},
        "image": {"repository": repository, "tag": "1"},
        "emulator": {"enabled": True, "image": {"repository": repository, "tag": "1"}},
    })  # fmt: skip
    assert set(images(found).values()) == {f"{expected}:1"}
    assert settings(found).image == f"{expected}:1"


def test_credentials_for_all_charts_are_added_once_each_and_reach_the_transfer_pods(chart: Chart) -> None:
    found = chart.render({
        "imagePullSecrets": [{"name": "own"}, {"name": "both"}],
        "global": {"imagePullSecrets": ["both", "plain", {"name": "named"}]},
        "emulator": {"enabled": True},
    })  # fmt: skip
    expected = ["own", "both", "plain", "named"]
    for name in images(found):
        kind = "Job" if name == "llmbatch-uninstall" else "Deployment"
        pod = named(found, kind, name)["spec"]["template"]["spec"]
        assert [item["name"] for item in pod["imagePullSecrets"]] == expected
    assert list(settings(found).image_pull_secrets) == expected


def test_what_other_charts_read_of_global_is_no_concern_of_this_one(chart: Chart) -> None:
    assert chart.render({"global": {"storageClass": "fast"}}) == chart.render()


@pytest.mark.parametrize("values", [
    pytest.param({"image": {"digest": "0a" * 32}}, id="a digest without its algorithm"),
    pytest.param({"global": {"imageRegistry": "https://mirror.example.com"}}, id="a URL in place of a registry"),
    pytest.param({"global": {"imagePullSecrets": [{}]}}, id="credentials without a name"),
])  # fmt: skip
def test_values_that_can_not_work_are_refused(chart: Chart, values: Values) -> None:
    assert not chart.template(values).ok
