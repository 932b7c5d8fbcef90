"""The results are stored whole, joined with the input, or not at all."""

from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest

from llmbatch.api.batchjob_status import InputStatus
from llmbatch.api.reasons import Reason
from llmbatch.provider.pure import quotes
from tests.edges.collecting import FIVE, MIXED, Done, counts, problem
from tests.edges.plans import request_line
from tests.emulator.client import Instance
from tests.emulator.server import EmulatorServer

CANARY = "canary-in-a-prompt-7f3a9"


def test_the_results_are_in_the_inputs_order_and_byte_for_byte(five: Done) -> None:
    report = five.collect()
    content = (five.root / "out/all.jsonl").read_bytes()
    assert five.results() == list(FIVE)
    assert sorted(content.splitlines()) == sorted(five.remote("output_file_id").splitlines())
    assert (report.bytes, report.requests) == (len(content), 5)
    assert report.sha256 == sha256(content).hexdigest()
    assert counts(report) == (5, 5, 0)
    assert report.usage is not None
    assert report.usage.total_tokens > 0
    assert not (five.root / "out/all.errors.jsonl").exists()


def test_the_order_of_completion_is_the_providers(five: Done) -> None:
    five.collect(order="Completion")
    assert (five.root / "out/all.jsonl").read_bytes() == five.remote("output_file_id")


def test_an_input_that_was_changed_is_not_trusted_but_downloaded(five: Done) -> None:
    (five.root / "in.jsonl").write_bytes(five.data[:-10] + b"x" * 10)
    assert counts(five.collect()) == (5, 5, 0)
    assert five.results() == list(FIVE)


def test_an_input_that_isnt_mounted_is_downloaded(five: Done) -> None:
    five.collect(input_root=None, input_path=None)
    assert five.results() == list(FIVE)


def test_without_any_input_the_results_are_stored_as_they_came(five: Done) -> None:
    httpx.delete(f"{five.kong.url}/files/{five.batch['input_file_id']}")
    report = five.collect(input_root=None)
    assert counts(report) == (5, 5, 0)
    assert (five.root / "out/all.jsonl").read_bytes() == five.remote("output_file_id")


@pytest.mark.parametrize("order", ["Input", "Completion"])
def test_failed_lines_go_beside_the_results_and_missing_ones_are_failed(
    kong: Instance, tmp_path: Path, order: str
) -> None:
    done = Done(kong, tmp_path, *MIXED)
    report = done.collect(order=order)
    assert counts(report) == (8, 3, 5)
    good, bad = done.results(), done.results("all.errors.jsonl")
    assert sorted(good) == ["a", "d--duplicate", "h"]
    assert sorted(bad) == ["b--status-429", "c--missing", "e--malformed", "f--content-filter", "g--status-0"]
    if order == "Input":
        assert good == sorted(good)
        assert bad == sorted(bad)
    assert (report.requests, report.errors_requests) == (3, 5)
    assert report.errors_bytes == (tmp_path / "out/all.errors.jsonl").stat().st_size
    assert report.malformed_lines == 1
    assert report.failures[0].code == "missing_result"
    codes = {failure.custom_id: failure.code for failure in report.failures}
    assert set(codes) == set(bad)
    assert codes["g--status-0"] == "0"


def test_missing_results_without_an_input_are_counted_though_nameless(kong: Instance, tmp_path: Path) -> None:
    done = Done(kong, tmp_path, "a", "b--missing", "c")
    report = done.collect(input_root=None, input_file_id=None)
    assert counts(report) == (3, 2, 1)
    assert report.errors_requests == 0


def test_a_batch_in_which_every_line_failed_has_an_empty_result(kong: Instance, tmp_path: Path) -> None:
    done = Done(kong, tmp_path, "a--status-400", "b--status-400")
    assert not done.batch["output_file_id"]
    assert counts(done.collect()) == (2, 0, 2)
    assert done.results() == []
    assert done.results("all.errors.jsonl") == ["a--status-400", "b--status-400"]


def test_a_batch_without_any_file_has_every_request_missing(five: Done) -> None:
    assert counts(five.collect(output_file_id=None, error_file_id=None)) == (5, 0, 5)
    assert five.results("all.errors.jsonl") == list(FIVE)


def test_an_errors_file_that_does_not_exist_does_no_harm_when_nothing_failed(five: Done) -> None:
    assert counts(five.collect(error_file_id="file-none")) == (5, 5, 0)


def test_an_errors_file_that_does_not_exist_is_a_problem_when_something_did(kong: Instance, tmp_path: Path) -> None:
    done = Done(kong, tmp_path, "a", "b--status-400")
    assert problem(done.collect(error_file_id="file-none")).reason is Reason.RESULTS_UNREADABLE
    assert not (tmp_path / "out/all.jsonl").exists()


def test_an_empty_errors_file_does_no_harm(emulator: EmulatorServer, tmp_path: Path) -> None:
    done = Done(emulator.instance(quirks={"error_file": "empty_file"}), tmp_path, "a")
    assert done.batch["error_file_id"]
    assert counts(done.collect()) == (1, 1, 0)
    assert not (tmp_path / "out/all.errors.jsonl").exists()


def test_a_download_that_broke_off_begins_again(five: Done) -> None:
    five.kong.fault("truncate", "files.content", bytes=100, times=2)
    assert counts(five.collect()) == (5, 5, 0)


def test_a_download_that_always_breaks_off_leaves_nothing_behind(five: Done) -> None:
    five.kong.fault("truncate", "files.content", bytes=100, times=-1)
    assert problem(five.collect()).reason is Reason.RESULTS_UNREADABLE
    assert not list((five.root / "out").iterdir())


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        pytest.param({"kind": "status", "status": 404, "message": "gone"}, Reason.RESULTS_UNREADABLE, id="gone"),
        pytest.param({"kind": "status", "status": 401, "as_": "kong"}, Reason.GATEWAY_UNAUTHORIZED, id="401"),
        pytest.param({"kind": "status", "status": 429, "as_": "kong"}, Reason.RATE_LIMITED, id="429"),
    ],
)
def test_results_that_cant_be_had(five: Done, fault: dict[str, Any], reason: Reason) -> None:
    five.kong.fault(operation="files.content", times=-1, **fault)
    assert problem(five.collect()).reason is reason


def test_a_long_line_is_stored_like_any_other(kong: Instance, tmp_path: Path) -> None:
    done = Done(kong, tmp_path, "a", "b--large-9000000", "c")
    report = done.collect()
    assert counts(report) == (3, 3, 0)
    assert report.bytes > 9_000_000
    assert done.results() == ["a", "b--large-9000000", "c"]


def test_custom_ids_of_any_form_are_joined(kong: Instance, tmp_path: Path) -> None:
    custom_ids = ('quo"te', "ünï", "new\nline", "\u2028", " ", "x" * 512)
    done = Done(kong, tmp_path, data="".join(f"{request_line(item)}\n" for item in custom_ids).encode())
    assert counts(done.collect()) == (6, 6, 0)
    assert done.results() == list(custom_ids)


def test_an_input_status_alone_tells_how_many_are_missing(kong: Instance, tmp_path: Path) -> None:
    done = Done(kong, tmp_path, "a")
    told = InputStatus(bytes=1, requests=10, sha256="x")
    report = done.collect(input=told, input_root=None, input_file_id=None, order="Completion")
    assert counts(report) == (10, 1, 9)


ECHO = "b--echo"


@pytest.mark.parametrize("order", ["Input", "Completion"])
@pytest.mark.parametrize("mounted", [True, False])
def test_a_failure_that_quotes_its_prompt_is_shown_without_it(
    kong: Instance, tmp_path: Path, order: str, *, mounted: bool
) -> None:
    prompt = f"Dear {CANARY}, how are you?"
    lines = (request_line("a"), request_line(ECHO, prompt), request_line("c--status-429"))
    done = Done(kong, tmp_path, data="".join(f"{line}\n" for line in lines).encode())
    report = done.collect(order=order, **({} if mounted else {"input_root": None}))
    assert {failure.code: failure.message for failure in report.failures} == {
        "invalid_prompt": quotes.QUOTED,
        "rate_limit_exceeded": "Rate limit is exceeded. Try again in 2 seconds.",
    }
    assert CANARY not in report.model_dump_json()
    assert CANARY in (tmp_path / "out/all.errors.jsonl").read_text(), "the user has the provider's own words"


def test_a_failure_that_cant_be_compared_with_its_request_is_shown_without_the_providers_words(
    kong: Instance, tmp_path: Path
) -> None:
    done = Done(kong, tmp_path, data=f"{request_line('a')}\n{request_line(ECHO, CANARY)}\n".encode())
    kong.fault("status", "files.content", status=404, times=1, message="gone")
    report = done.collect(input_root=None)
    (failure,) = report.failures
    assert (failure.code, failure.message) == ("invalid_prompt", quotes.UNCHECKED)


def test_the_input_not_being_had_for_comparing_holds_no_results_back(kong: Instance, tmp_path: Path) -> None:
    done = Done(kong, tmp_path, "a", "b--status-400")
    # The first download is that of the input.
    kong.fault("status", "files.content", status=404, times=1, message="gone")
    report = done.collect(input_root=None, order="Completion")
    assert counts(report) == (2, 1, 1)
    assert [failure.message for failure in report.failures] == [quotes.UNCHECKED]
