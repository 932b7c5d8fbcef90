"""Tests that run in other processes count as if they had run here; what doesn't come back has failed."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.cluster.paths import REPOSITORY
from tests.suite import beside

MANY = f"""
import pytest

@pytest.mark.parametrize("number", range({beside.FEWEST}))
def test_passes(number): pass
"""


ONLY_XDIST = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_PLUGINS": "xdist"}
"""Each of the others costs every process a second."""


def suite(folder: Path, code: str, *options: str) -> tuple[int, str]:
    """Run the suite's plugin on a file of its own; answers the exit code, and what it printed."""
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "test_some.py").write_text(MANY + code)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "LLMBATCH_"))}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tests.suite.plugin", "-ra", *options],
        cwd=folder, env={**inherited, "PYTHONPATH": f"{REPOSITORY / 'operator'}:{REPOSITORY}", **ONLY_XDIST},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    return done.returncode, done.stdout


def counted(printed: str) -> dict[str, int]:
    """Read pytest's own last line."""
    last = printed.strip().splitlines()[-1]
    return {
        what.rstrip("s"): int(number) for number, what in re.findall(r"(\d+) ([a-z]+)", last) if "warning" not in what
    }


def test_each_outcome_is_counted_as_what_it_is(tmp_path: Path) -> None:
    code, printed = suite(
        tmp_path,
        """
def test_fails(): assert "this" == "that"

def test_is_skipped(): pytest.skip("for a reason")

@pytest.mark.xfail(strict=True)
def test_is_known_to_fail(): assert False

@pytest.fixture
def broken(): raise RuntimeError("no fixture")

def test_has_no_fixture(broken): pass

@pytest.mark.parametrize("sign", ["a@b", "a::b", " blank ", "line\\nend", "[x]"])
def test_has_an_odd_name(sign): pass
""",
    )
    assert code == 1
    assert counted(printed) == {"passed": beside.FEWEST + 5, "failed": 1, "skipped": 1, "xfailed": 1, "error": 1}, (
        printed
    )
    assert "assert 'this' == 'that'" in printed
    assert "SKIPPED [1] test_some.py" in printed
    assert "no fixture" in printed
    assert "fast tests" in printed


def test_a_test_whose_process_dies_has_failed(tmp_path: Path) -> None:
    code, printed = suite(tmp_path, "\ndef test_dies():\n    import os\n    os._exit(0)\n")
    assert code == 1
    found = counted(printed)
    # With it ends the run; what others had not begun has failed too.
    assert found.get("failed", 0) >= 1, printed
    assert found.get("failed", 0) + found.get("passed", 0) == beside.FEWEST + 1, printed


def test_tests_that_were_handed_over_and_never_ran_have_failed(tmp_path: Path) -> None:
    # Collected here, and nowhere else.
    only_here = '\nimport os\nif "LLMBATCH_SUITE_WANTED" in os.environ: raise SystemExit("none of this")\n'
    code, printed = suite(tmp_path, only_here)
    assert code == 1
    assert counted(printed) == {"failed": beside.FEWEST}, printed


def test_the_first_failure_is_the_last_where_one_is_enough(tmp_path: Path) -> None:
    code, printed = suite(tmp_path, "\ndef test_fails(): assert False\n", "-x", "-k", "test_passes or test_fails")
    assert code == 1
    assert counted(printed)["failed"] == 1, printed
    assert "stopping after 1 failures" in printed


def test_what_a_module_shares_is_made_once(tmp_path: Path) -> None:
    code, printed = suite(
        tmp_path,
        f"""
@pytest.fixture(scope="module", params=["one", "two"])
def shared(request):
    with open({str(tmp_path / "made")!r}, "a") as file:
        file.write(request.param + "\\n")

@pytest.mark.parametrize("number", range(6))
def test_shares(shared, number): pass
""",
    )
    assert (code, counted(printed)) == (0, {"passed": beside.FEWEST + 12}), printed
    assert sorted((tmp_path / "made").read_text().split()) == ["one", "two"]
