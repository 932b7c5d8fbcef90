"""What is refused before anything is built: versions that disagree, files that no commit has, places that are none."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.cluster import ClusterError
from tests.cluster.paths import REPOSITORY
from tests.release import images, signing, source, versions
from tests.release.destination import Destination

FILES = (
    versions.PROJECT,
    versions.CHART,
    versions.PACKAGE,
    versions.EXAMPLE,
    versions.START,
    versions.CHANGELOG,
)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The files that name a version, all of them 1.2.3, in a commit with its tag."""
    was = versions.version(REPOSITORY)
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / name, tmp_path / name)
        change(tmp_path / name, was, "1.2.3")
    change(tmp_path / versions.CHANGELOG, "## Unreleased", "## Unreleased\n\n## 1.2.3")
    git(tmp_path, "init", "--quiet")
    commit(tmp_path)
    git(tmp_path, "tag", "v1.2.3")
    return tmp_path


def change(path: Path, old: str, new: str) -> None:
    path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")


def git(folder: Path, *arguments: str) -> None:
    who = ["-c", "user.name=somebody", "-c", "user.email=somebody@example.com", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *who, "-C", str(folder), *arguments], check=True, capture_output=True)


def commit(folder: Path) -> None:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message=change")


def test_the_versions_of_this_checkout_agree() -> None:
    assert versions.disagreements(REPOSITORY, snapshot=True) == []


@pytest.mark.parametrize(
    ("file", "old", "new", "told"),
    [
        (versions.CHART, "\nversion: 1.2.3", "\nversion: 1.2.4", "version is 1.2.4, "),
        (versions.CHART, 'appVersion: "1.2.3"', 'appVersion: "1.2.4"', "appVersion is 1.2.4, "),
        (versions.CHART, 'appVersion: "1.2.3"', "", "appVersion is missing, "),
        (versions.PACKAGE, '"1.2.3"', '"1.2.4"', "__version__ is 1.2.4, "),
        (versions.EXAMPLE, "newTag: 1.2.3", "newTag: 1.2.4", "images[].newTag is 1.2.4, "),
        (versions.START, "llmbatch:1.2.3 .", "llmbatch:1.2.4 .", "the tag of registry.example.com/llmbatch is 1.2.4, "),
        (versions.CHANGELOG, "## 1.2.3", "## 1.2.2", "has no section `## 1.2.3`"),
    ],
)  # fmt: skip
def test_a_file_that_names_another_version_is_told_of(copy: Path, file: str, old: str, new: str, told: str) -> None:
    assert versions.disagreements(copy, snapshot=False) == []
    change(copy / file, old, new)
    (complaint,) = versions.disagreements(copy, snapshot=False)
    assert complaint.startswith(f"{file}: {told}")


def test_a_version_that_only_the_project_has_is_held_against_every_other_file(copy: Path) -> None:
    change(copy / versions.PROJECT, 'version = "1.2.3"', 'version = "1.3.0"')
    complaints = versions.disagreements(copy, snapshot=False)
    assert {complaint.partition(":")[0] for complaint in complaints} == set(FILES) - {versions.PROJECT}
    with pytest.raises(ClusterError, match="The versions disagree"):
        source.version(copy, source.read(copy), snapshot=True)


def test_a_version_that_helm_does_not_take_is_refused(copy: Path) -> None:
    for name in FILES:
        change(copy / name, "1.2.3", "1.2")
    (complaint,) = versions.disagreements(copy, snapshot=False)
    assert complaint.startswith("pyproject.toml: project.version is '1.2'")


def test_unreleased_changes_are_enough_for_a_snapshot_only(copy: Path) -> None:
    change(copy / versions.CHANGELOG, "\n\n## 1.2.3", "")
    assert versions.disagreements(copy, snapshot=True) == []
    assert len(versions.disagreements(copy, snapshot=False)) == 1


def test_a_commit_with_its_tag_is_released_under_that_version(copy: Path) -> None:
    assert source.version(copy, source.read(copy), snapshot=False) == "1.2.3"


def test_a_commit_without_its_tag_is_refused_unless_as_a_snapshot(copy: Path) -> None:
    (copy / "more").touch()
    commit(copy)
    found = source.read(copy)
    with pytest.raises(ClusterError, match=r"has no tag v1\.2\.3: .*SNAPSHOT=1"):
        source.version(copy, found, snapshot=False)
    assert source.version(copy, found, snapshot=True) == f"1.2.3-snapshot.g{found.commit[:12]}"


@pytest.mark.parametrize("name", ["not-in-git.py", versions.PACKAGE])
def test_files_that_the_commit_does_not_have_are_refused_unless_as_a_snapshot(copy: Path, name: str) -> None:
    with (copy / name).open("a") as file:
        file.write("# changed\n")
    found = source.read(copy)
    with pytest.raises(ClusterError, match=rf"(?s)not as in commit.*{name}.*SNAPSHOT=1"):
        source.version(copy, found, snapshot=False)
    assert source.version(copy, found, snapshot=True).endswith(f"g{found.commit[:12]}.dirty")


@pytest.mark.parametrize(
    ("registry", "plain_http"),
    [
        ("registry.example.com/team", False),
        ("registry.example.com:5000/team/sub", False),
        ("10.0.0.1:5000/team", False),
        ("localhost.example.com/team", False),
        ("localhost/team", True),
        ("localhost:5000/team", True),
        ("127.0.0.1:5000/team", True),
        ("[::1]:5000/team", True),
    ],
)
def test_only_a_registry_on_this_machine_is_asked_by_plain_http(registry: str, plain_http: bool) -> None:
    assert Destination.of(registry).plain_http is plain_http


@pytest.mark.parametrize("registry", ["", "team", "registry.example.com", "https://registry.example.com/team", "a.b/T"])
def test_a_registry_without_host_or_namespace_is_refused(registry: str) -> None:
    with pytest.raises(ClusterError, match="give a host and a namespace"):
        Destination.of(registry)


@pytest.mark.parametrize("user", ["", "0", "0:0", "root", "llmbatch", "00"])
def test_an_image_that_runs_as_root_or_as_a_name_is_refused(user: str) -> None:
    with pytest.raises(ClusterError, match="USER must be a number, and not 0"):
        images.check_user("llmbatch", user)


@pytest.mark.parametrize("base", ["registry.example.com/python:3.13-slim", "registry.example.com/python@sha256:12"])
def test_a_base_that_is_not_named_by_digest_is_refused(base: str) -> None:
    with pytest.raises(ClusterError, match="name a Python image by digest"):
        images.base(base)


def test_a_key_that_is_not_there_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GNUPGHOME", str(tmp_path))
    tmp_path.chmod(0o700)
    with (
        pytest.raises(ClusterError, match="SIGN_KEY is 'nobody', of which GNUPGHOME has no secret key"),
        signing.key({"SIGN_KEY": "nobody"}),
    ):
        pass
