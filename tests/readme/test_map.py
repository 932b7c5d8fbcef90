"""The map in the operator's README leads to what is there, and to all of it."""

import re

import pytest

from tests.cluster.paths import REPOSITORY

OPERATOR = REPOSITORY / "operator"
README = (OPERATOR / "README.md").read_text(encoding="utf-8")
MAP = README.partition("<!-- map:begin -->")[2].partition("<!-- map:end -->")[0]
PLACES = re.findall(r"`(llmbatch/[^`]+)`", MAP)
LINES = [line for line in MAP.splitlines() if line.startswith("| ") and "`" in line]
# Each is one file, of which its own docstring says all.
ALONE = {"__init__.py", "__main__.py", "settings.py", "crash.py"}


def test_it_has_thirteen_lines() -> None:
    assert len(LINES) == 13


@pytest.mark.parametrize("place", PLACES)
def test_what_it_names_is_there(place: str) -> None:
    assert (OPERATOR / place).exists()


def test_it_names_every_folder_with_modules() -> None:
    folders = {f"{path.parent.relative_to(OPERATOR)}/" for path in OPERATOR.glob("llmbatch/**/*.py")}
    # What only holds two others has no modules of its own.
    with_modules = {folder for folder in folders if len(list((OPERATOR / folder).glob("*.py"))) > 1} - {"llmbatch/"}
    assert with_modules == {place for place in PLACES if place.endswith("/")}


def test_no_module_stands_outside_the_folders() -> None:
    assert {path.name for path in OPERATOR.glob("llmbatch/*.py")} == ALONE


def test_no_folder_is_crowded() -> None:
    crowded = {
        str(folder.relative_to(OPERATOR)): count
        for folder in OPERATOR.glob("llmbatch/**/")
        if (count := len([path for path in folder.glob("*.py") if path.name != "__init__.py"])) > 12
    }
    assert not crowded


def test_the_page_of_the_tests_names_every_folder_of_them() -> None:
    tests = REPOSITORY / "tests"
    folders = {path.name for path in tests.iterdir() if (path / "__init__.py").exists()}
    told = (tests / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"`(\w+)/`", told.partition("## What to run")[0])) == folders
