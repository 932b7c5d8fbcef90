"""What `make release` leaves at a registry and in its folder is whole, belongs together and can be verified."""

import hashlib
import json
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.helm import named
from tests.cluster import ClusterError
from tests.cluster.paths import REPOSITORY
from tests.cluster.shell import run, succeeds
from tests.release import chart, sbom, signing, source, versions
from tests.release.conftest import NAMESPACE, Made, make_key
from tests.release.images import Built, Pushed

pytestmark = pytest.mark.timeout(900)
"""The first time, base image and layers are made."""

IMAGES = ("llmbatch", "llmbatch-emulator")


@pytest.fixture(scope="module")
def pulled(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The chart, as somebody gets it who checks who made it."""
    folder = tmp_path_factory.mktemp("pulled")
    from_there = ["pull", f"oci://{made.prefix}/charts/llmbatch", f"--version={made.version}", "--plain-http"]
    run([chart.helm(), *from_there, "--verify", f"--keyring={made.keyring}", f"--destination={folder}"])
    return folder / f"llmbatch-{made.version}.tgz"


def digest_of(made: Made, name: str) -> str:
    return made.registry.manifest(f"{NAMESPACE}/{name}", made.version)[0]


def test_a_snapshot_is_named_by_its_commit(made: Made) -> None:
    found = source.read(REPOSITORY)
    assert made.version.startswith(f"{versions.version(REPOSITORY)}-snapshot.g{found.commit[:12]}")


@pytest.mark.parametrize("name", [*IMAGES, "charts/llmbatch"])
def test_what_is_printed_is_at_the_registry(made: Made, name: str) -> None:
    (line,) = [line for line in made.printed if f"/{NAMESPACE}/{name}:" in line]
    reference, _, digest = line.partition("@")
    assert reference.removeprefix("oci://") == f"{made.prefix}/{name}:{made.version}"
    found, manifest = made.registry.manifest(f"{NAMESPACE}/{name}", made.version)
    assert found == digest
    for part in (manifest["config"], *manifest["layers"]):
        content = made.registry.blob(f"{NAMESPACE}/{name}", part["digest"])
        assert f"sha256:{hashlib.sha256(content).hexdigest()}" == part["digest"]


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_says_what_it_is_and_does_not_run_as_root(made: Made, name: str) -> None:
    found = source.read(REPOSITORY)
    _, manifest = made.registry.manifest(f"{NAMESPACE}/{name}", made.version)
    image = json.loads(made.registry.blob(f"{NAMESPACE}/{name}", manifest["config"]["digest"]))
    config = image["config"]
    labels = config["Labels"]
    assert labels.pop("org.opencontainers.image.title").startswith("llmbatch ")
    assert labels == {
        "org.opencontainers.image.version": made.version,
        "org.opencontainers.image.revision": found.commit,
        "org.opencontainers.image.created": found.created,
        "org.opencontainers.image.licenses": "Apache-2.0",
    }
    assert config["User"] == "65532:65532"
    assert image["created"] == found.created
    assert "localhost" not in json.dumps([image, manifest]), (
        "what an image is called where it is built is nobody's business"
    )


@pytest.mark.parametrize("name", IMAGES)
def test_a_bill_of_materials_is_valid_and_is_of_the_image_that_was_pushed(made: Made, name: str) -> None:
    text = (made.folder / f"{name}.cdx.json").read_text(encoding="utf-8")
    assert sbom.invalid(text) == ""
    whole = json.loads(text)["metadata"]["component"]
    assert whole["name"] == f"{made.prefix}/{name}"
    assert digest_of(made, name).removeprefix("sha256:") in whole["purl"]


def test_the_bill_of_materials_names_packages_of_python_and_of_debian_with_their_versions(made: Made) -> None:
    found = components(made, "llmbatch")
    for package in ("httpx", "kopf", "pydantic"):
        # The image and this environment have the same pins.
        assert found[package]["purl"] == f"pkg:pypi/{package}@{metadata.version(package)}"
    assert found["libc6"]["purl"].startswith("pkg:deb/debian/libc6@2.")
    assert "purl" not in found["llmbatch"], "ours is in no index"
    assert "kopf" not in components(made, "llmbatch-emulator")
    assert "uvicorn" in components(made, "llmbatch-emulator")


def components(made: Made, name: str) -> dict[str, Any]:
    bill = json.loads((made.folder / f"{name}.cdx.json").read_text(encoding="utf-8"))
    return {found["name"]: found for found in bill["components"]}


def test_a_document_that_is_no_bill_of_materials_is_told_from_one() -> None:
    assert "bomFormat" in sbom.invalid('{"specVersion": "1.6"}')


def test_the_chart_verifies_until_it_is_touched(made: Made, pulled: Path) -> None:
    assert pulled.read_bytes() == (made.folder / pulled.name).read_bytes()
    verify: list[str | Path] = [chart.helm(), "verify", pulled, f"--keyring={made.keyring}"]
    assert succeeds(verify)
    content = pulled.read_bytes()
    try:
        pulled.write_bytes(content + b"\0")
        assert not succeeds(verify)
    finally:
        pulled.write_bytes(content)


def test_the_chart_has_the_pushed_images_by_digest(made: Made, pulled: Path) -> None:
    emulated = run(
        [chart.helm(), "template", "llmbatch", pulled, "--kube-version=v1.34.4", "--set=emulator.enabled=true"]
    )
    found = [manifest for manifest in yaml.safe_load_all(emulated) if manifest]
    operator = f"{made.prefix}/llmbatch@{digest_of(made, 'llmbatch')}"
    emulator = f"{made.prefix}/llmbatch-emulator@{digest_of(made, 'llmbatch-emulator')}"
    assert images(named(found, "Deployment", "llmbatch")) == [operator]
    assert images(named(found, "Deployment", "llmbatch-emulator")) == [emulator]
    env = named(found, "Deployment", "llmbatch")["spec"]["template"]["spec"]["containers"][0]["env"]
    assert {"name": "LLMBATCH_IMAGE", "value": operator} in env, "what transfer pods run"


def images(deployment: dict[str, Any]) -> list[str]:
    return [container["image"] for container in deployment["spec"]["template"]["spec"]["containers"]]


def test_the_readme_in_the_chart_has_the_values_of_the_chart(made: Made, pulled: Path) -> None:
    readme = run([chart.helm(), "show", "readme", pulled])
    assert digest_of(made, "llmbatch") in readme
    assert "localhost/llmbatch" not in readme.partition("values:begin")[2]


def test_the_manifest_installs_what_the_chart_does(made: Made, pulled: Path) -> None:
    found = [item for item in yaml.safe_load_all((made.folder / "install.yaml").read_text()) if item]
    assert found[0]["kind"] == "Namespace"
    assert images(named(found, "Deployment", "llmbatch")) == [f"{made.prefix}/llmbatch@{digest_of(made, 'llmbatch')}"]
    hooks = [item for item in chart.render(pulled) if "helm.sh/hook" in (item["metadata"].get("annotations") or {})]
    assert len(found) == 1 + len(chart.render(pulled)) - len(hooks)


def test_every_file_has_a_checksum(made: Made) -> None:
    listed = (made.folder / "SHA256SUMS").read_text().split()[1::2]
    assert sorted([*listed, "SHA256SUMS"]) == sorted(path.name for path in made.folder.iterdir())
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=made.folder, check=True)


def test_no_secret_key_is_left_or_shown(made: Made) -> None:
    assert "NOT SIGNED" not in made.said
    assert not [path for path in made.folder.iterdir() if b"PRIVATE KEY" in path.read_bytes()]


PUSHED = {
    name: Pushed(f"registry.example.com/team/{name}", f"sha256:{fill * 64}", Built(name, "", ()))
    for name, fill in (("llmbatch", "a"), ("llmbatch-emulator", "b"))
}


def test_a_key_with_a_passphrase_signs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key_home: Path) -> None:
    home = key_home / "locked"
    home.mkdir(mode=0o700)
    ring = make_key(home, passphrase="open sesame")
    monkeypatch.setenv("GNUPGHOME", str(home))
    (tmp_path / "passphrase").write_text("open sesame")
    asked = {"SIGN_KEY": ring.address, "SIGN_PASSPHRASE_FILE": str(tmp_path / "passphrase")}
    with signing.key(asked) as key:
        packed = chart.package(PUSHED, "1.2.3", tmp_path, key)
        assert key is not None
        secret = key.secret
    assert succeeds([chart.helm(), "verify", packed, f"--keyring={ring.public}"])
    assert not secret.exists()


def test_without_a_key_the_chart_is_packed_unsigned(tmp_path: Path) -> None:
    with signing.key({}) as key:
        packed = chart.package(PUSHED, "1.2.3", tmp_path, key)
    assert [path.name for path in tmp_path.iterdir()] == [packed.name] == ["llmbatch-1.2.3.tgz"]


def test_values_without_a_place_for_a_digest_are_refused() -> None:
    values = (chart.SOURCE / "values.yaml").read_text(encoding="utf-8")
    with pytest.raises(ClusterError, match=r"has no emulator\.image of localhost/llmbatch-emulator"):
        chart.with_images(values.replace("repository: localhost/llmbatch-emulator", "repository: other"), PUSHED)
