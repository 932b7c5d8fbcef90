"""Following a job to its end."""

import asyncio
import io
import os
import re
from pathlib import Path

import pytest
from rich.console import Console

from llmbatch.api.batchjob_status import BatchJobStatus
from llmbatch.cli.watch import MOST_BARS, Lines, bars, is_held_up, rows
from tests.cli.conftest import MIXED, Life, Plugin, begun, jsonl
from tests.support import build
from tests.support.apiserver import ApiServer
from tests.support.inprocess import apply_all, config_map, kubeconfig


async def looked(api: ApiServer) -> None:
    """Wait until somebody has looked at the job twice more: at least once with what there is now."""
    before = _looks(api)
    for _ in range(6000):
        if _looks(api) >= before + 2:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("nobody looks")


def _looks(api: ApiServer) -> int:
    return sum((call.verb, call.plural) == ("get", "batchjobs") for call in api.calls)


async def test_a_watch_tells_of_every_step_and_ends_with_the_job(life: Life) -> None:
    apply_all(life.api, life.kong, MIXED)
    watching = asyncio.create_task(life.plugin("watch", "job", "--interval", "0.05"))
    await life.operator.until(lambda: life.operator.status().phase == "Validating")
    await looked(life.api)
    await life.run_on()
    ran = await watching
    assert ran.code == 0
    lines = ran.text.splitlines()
    assert "job: Validating 0/3" in lines
    assert lines[-1].startswith("job: Complete: CompletedWithFailures: ")
    assert len(lines) == len(set(lines)), "nothing is told twice"
    assert not re.search("\x1b", ran.text), "no colours where there is no terminal"


async def test_a_watch_of_a_failed_job_ends_with_exit_code_1(life: Life) -> None:
    await life.run(jsonl("a--status-500"))
    ran = await life.plugin("watch", "job")
    assert ran.code == 1
    assert ran.text.splitlines()[-1].startswith("job: Failed: AllRequestsFailed: ")


async def test_a_watch_says_what_needs_a_person(life: Life) -> None:
    apply_all(life.api, life.kong, MIXED)
    life.api.remove("configmaps", "prompts")
    await life.operator.until_reason("InputNotFound")
    watching = asyncio.create_task(life.plugin("watch", "job", "--interval", "0.05"))
    await looked(life.api)
    life.api.put("configmaps", config_map("prompts", "batch.jsonl", MIXED))
    await life.run_on()
    assert "job: InputNotFound: ConfigMap team-a/prompts" in (await watching).text


async def test_a_watch_of_a_job_that_is_deleted_says_so(api: ApiServer, plugin: Plugin) -> None:
    api.put("batchjobs", build.batchjob())
    watching = asyncio.create_task(plugin("watch", "job", "--interval", "0.05"))
    await looked(api)
    api.remove("batchjobs", "job")
    api.put("batchjobs", build.batchjob())  # another one of its name is another one
    ran = await watching
    assert (ran.code, ran.err) == (2, "BatchJob team-a/job was deleted\n")


async def test_a_watch_outlives_an_api_server_that_is_away_for_a_moment(api: ApiServer, plugin: Plugin) -> None:
    api.put("batchjobs", {**build.batchjob(), "status": build.ended().dump()})
    api.fault("status", "get", "batchjobs", status=503, times=3, where=lambda _: len(api.calls) > 1)
    assert (await plugin("watch", "job", "--interval", "0.05")).code == 0


def test_each_part_has_a_row() -> None:
    source = {"offset": 0, "bytes": 10, "crc32": "0"}
    state = {"phase": "InProgress", "status": "Unknown", "reason": "InProgress", "sinceTime": "2026-03-01T12:00:00Z"}
    parts = [
        {"part": 0, "attempt": 1, "source": source, "requests": 4, "state": state,
         "requestCounts": {"total": 4, "completed": 2, "failed": 1}},
        {"part": 1, "attempt": 1, "source": source, "requests": 3},
        # Of one that has ended, where it was in the input is not kept.
        {"part": 2, "attempt": 1, "requests": 1, "state": {**state, "phase": "Complete"}},
        {"part": 0, "attempt": 2, "parts": [0], "requests": 1},
    ]  # fmt: skip
    status = build.status(
        batches=parts, parts=3, phase="InProgress", requestCounts={"total": 8, "completed": 2, "failed": 1}
    )
    assert [row.told for row in rows("job", status)] == [
        "job: InProgress 3/8, 1 failed",
        "part 0: InProgress 3/4, 1 failed",
        "part 1: Pending 0/3",
        "part 2: Complete 0/1",
        "part 0.2: Pending 0/1",
    ]


def test_a_line_that_stays_is_shown_once_and_one_that_comes_back_again(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines()
    for phase in ("Pending", "Pending", "InProgress", "Pending"):
        lines.show(rows("job", build.status(phase=phase)), "", is_held_up=False)
    assert capsys.readouterr().out.splitlines() == ["job: Pending 0", "job: InProgress 0", "job: Pending 0"]


def test_on_a_terminal_there_is_a_bar_for_each_batch_that_has_not_ended_but_no_more_than_fit() -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=120)
    source = {"offset": 0, "bytes": 10, "crc32": "0"}
    state = {"status": "True", "reason": "Succeeded", "sinceTime": "2026-03-01T12:00:00Z"}
    parts = [
        {"part": n, "attempt": 1, "requests": 4, "state": {**state, "phase": "Complete"}}
        if n < 50
        else {"part": n, "attempt": 1, "source": source, "requests": 4}
        for n in range(60)
    ]
    with bars(console) as shown:
        # Brackets are no markup.
        told = "InvalidInput: [red]line 1[/] is no request"
        shown.show(rows("job", build.status(batches=parts, parts=60)), told, is_held_up=True)
        labels = [task.description for task in shown.progress.tasks]
    assert len(labels) == MOST_BARS + 1
    assert labels[:11] == ["job", *(f"part {n}" for n in range(50, 60))]
    assert told in screen.getvalue()


@pytest.mark.parametrize(
    ("status", "worth"),
    [
        (build.status(), True),
        (build.status(phase="Pending"), True),
        (build.status(phase="InProgress"), False),
    ],
    ids=["nobody has looked at it", "nothing has begun", "it runs"],
)
def test_what_holds_a_job_up_before_it_begins_is_told(status: BatchJobStatus, *, worth: bool) -> None:
    assert is_held_up(status) is worth


async def drawn(config: str, *, on_terminal: bool, **environment: str) -> bytes:
    """Follow a job that has ended, in a process of its own."""
    reading, writing = os.openpty() if on_terminal else os.pipe()
    process = await begun(config, "watch", "job", env={"TERM": "xterm", **environment}, stdout=writing)
    os.close(writing)
    assert await process.wait() == 0
    with os.fdopen(reading, "rb") as written:
        return written.read1()


@pytest.mark.parametrize(
    ("on_terminal", "environment"),
    [
        pytest.param(False, {"FORCE_COLOR": "1"}, id="a build server's log, which is to have colours"),
        pytest.param(True, {"TERM": "dumb"}, id="a terminal that can't move its cursor"),
    ],
)
async def test_where_nothing_can_be_drawn_there_are_lines(
    api: ApiServer, tmp_path: Path, environment: dict[str, str], *, on_terminal: bool
) -> None:
    api.put("batchjobs", {**build.batchjob(), "status": build.ended().dump()})
    written = await drawn(kubeconfig(api, tmp_path), on_terminal=on_terminal, **environment)
    assert written.splitlines() == [b"job: Complete 5/5", b"job: Complete: Succeeded: Told."]


async def test_on_a_terminal_it_draws(api: ApiServer, tmp_path: Path) -> None:
    api.put("batchjobs", {**build.batchjob(), "status": build.ended().dump()})
    assert b"\x1b[" in await drawn(kubeconfig(api, tmp_path), on_terminal=True)


STEERING = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202egnp.exe\r\x08"


@pytest.mark.parametrize("command", ["watch", "results"])
async def test_what_others_have_written_does_not_steer_the_terminal(
    api: ApiServer, plugin: Plugin, command: str
) -> None:
    failed = build.condition("Ready", "False", "OutputInvalid", message=f"spec.output: {STEERING} is\ntoo long")
    status = build.status(phase="Failed", conditions=[failed, build.condition("Failed", message="m")]).dump()
    api.put("batchjobs", {**build.batchjob(), "status": status})
    ran = await plugin(command, "job")
    assert ran.code == 1
    shown = ran.text + ran.err
    assert "spec.output: " in shown
    assert "gnp.exe" in shown
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", shown)


def test_nor_does_it_on_one_with_bars() -> None:
    drawn = io.StringIO()
    console = Console(file=drawn, force_terminal=True, width=100)
    with bars(console) as screen:
        screen.show(rows("job", BatchJobStatus()), f"OutputInvalid: {STEERING} is too long", is_held_up=True)
    assert "gnp.exe" in drawn.getvalue()
    assert not re.search("\x1b\\]|\x07|\x9b|\u202e|\x1b\\[2J", drawn.getvalue())
