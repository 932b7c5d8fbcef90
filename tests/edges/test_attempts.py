"""Several attempts at the same requests, put together: each request once, the first success, else the last failure."""

import json
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmbatch.api.reasons import Reason
from llmbatch.jsonl import outcomes
from llmbatch.jsonl.outcomes import Kind, written
from llmbatch.transfer.edge.merge import merge
from llmbatch.transfer.pure.plan import MergePlan, StoredPart, part_name, rest_path

FOLDER = ".llmbatch-u"


def line(custom_id: str, attempt: int, *, succeeded: bool) -> bytes:
    status = 200 if succeeded else 429
    answer = {"status_code": status, "body": {"attempt": attempt}}
    return json.dumps({"custom_id": custom_id, "response": answer, "error": None}).encode()


def store(
    root: Path, part: int, outcomes: Iterable[tuple[Kind, bytes]], attempt: int = 1, of: list[int] | None = None
) -> StoredPart:
    content = b"".join(written(kind, text) + b"\n" for kind, text in outcomes)
    folder = root / FOLDER
    folder.mkdir(exist_ok=True)
    (folder / part_name(part, attempt)).write_bytes(content)
    return StoredPart(
        part=part,
        attempt=attempt if of else None,
        parts=of,
        bytes=len(content),
        sha256=sha256(content).hexdigest(),
    )


def plan(root: Path, parts: list[StoredPart], order: str = "Input") -> MergePlan:
    return MergePlan.model_validate(
        {"root": str(root), "path": "r.jsonl", "folder": FOLDER, "parts": parts, "judged": True, "order": order}
    )


def read(path: Path) -> list[tuple[str, int]]:
    """Give the custom_ids, and by which attempt each was answered."""
    lines = [json.loads(text) for text in path.read_text().splitlines()] if path.exists() else []
    return [(item["custom_id"], item["response"]["body"]["attempt"]) for item in lines]


# What becomes of a request, attempt by attempt: True: it succeeds; False: it fails in a way that may pass; None: for good.
FATES = st.lists(st.lists(st.sampled_from([True, False, False, None]), min_size=4, max_size=4), min_size=1, max_size=12)


@settings(max_examples=150, deadline=None)
@given(FATES, st.integers(1, 4), st.integers(1, 4), st.randoms(use_true_random=False), st.booleans())
def test_each_request_is_answered_once_by_its_first_success_else_by_its_last_failure(
    fates: list[list[bool | None]], size: int, attempts: int, random: object, in_order: bool
) -> None:
    names = [f"r{number}" for number in range(len(fates))]
    fate = dict(zip(names, fates, strict=True))
    cut = [names[at : at + size] for at in range(0, len(names), size)]
    expected: dict[str, tuple[int, bool]] = {}
    with TemporaryDirectory() as folder:
        root, stored = Path(folder), []
        groups = [([part], ids) for part, ids in enumerate(cut)]
        for attempt in range(1, attempts + 1):
            left: list[tuple[list[int], list[str]]] = []
            for of, ids in groups:
                made = []
                for name in ids:
                    what = fate[name][attempt - 1]
                    kind = Kind.SUCCEEDED if what else Kind.FAILED if what is None else Kind.UNFINISHED
                    made.append((kind, line(name, attempt, succeeded=bool(what))))
                    expected[name] = (attempt, bool(what))
                stored.append(store(root, of[0], made, attempt, of if attempt > 1 else None))
                rest = [name for name in ids if fate[name][attempt - 1] is False]
                if rest:
                    left.append((of, rest))
            # Whichever rests go together, in whichever order.
            random.shuffle(left)  # type: ignore[attr-defined]
            groups = []
            while left:
                together, left = left[: 1 + len(left) // 2], left[1 + len(left) // 2 :]
                groups.append(
                    (sorted(part for of, _ in together for part in of), [name for _, ids in together for name in ids])
                )
            if not groups:
                break
        report = merge(plan(root, stored, "Input" if in_order else "Completion"))
        assert report.problem is None
        good, bad = read(root / "r.jsonl"), read(root / "r.errors.jsonl")
        wanted_good = [
            (name, attempt)
            for name, (attempt, succeeded) in sorted(expected.items(), key=lambda item: names.index(item[0]))
            if succeeded
        ]
        wanted_bad = [
            (name, attempt)
            for name, (attempt, succeeded) in sorted(expected.items(), key=lambda item: names.index(item[0]))
            if not succeeded
        ]
        if in_order:
            assert good == wanted_good
            assert bad == wanted_bad
        assert sorted(good) == sorted(wanted_good)
        assert sorted(bad) == sorted(wanted_bad)
        assert (report.succeeded, report.failed) == (len(good), len(bad))


def test_an_answer_that_came_after_the_request_was_sent_again_is_the_one_that_counts(tmp_path: Path) -> None:
    late = store(
        tmp_path, 0, [(Kind.SUCCEEDED, line("a", 1, succeeded=True)), (Kind.UNFINISHED, line("b", 1, succeeded=False))]
    )
    again = store(
        tmp_path,
        0,
        [(Kind.SUCCEEDED, line("a", 2, succeeded=True)), (Kind.SUCCEEDED, line("b", 2, succeeded=True))],
        2,
        [0],
    )
    for order in ("Input", "Completion"):
        assert merge(plan(tmp_path, [late, again], order)).problem is None
        assert sorted(read(tmp_path / "r.jsonl")) == [("a", 1), ("b", 2)]
        (tmp_path / "r.jsonl").unlink()


def test_a_later_attempt_that_came_to_nothing_leaves_the_failure_before_it(tmp_path: Path) -> None:
    first = store(
        tmp_path, 0, [(Kind.UNFINISHED, line("a", 1, succeeded=False)), (Kind.SUCCEEDED, line("b", 1, succeeded=True))]
    )
    assert merge(plan(tmp_path, [first])).failed == 1
    assert read(tmp_path / "r.errors.jsonl") == [("a", 1)]


def test_outcomes_that_were_changed_are_not_put_together(tmp_path: Path) -> None:
    first = store(tmp_path, 0, [(Kind.SUCCEEDED, line("a", 1, succeeded=True))])
    (tmp_path / FOLDER / part_name(0)).write_bytes(b"+{}\n")
    report = merge(plan(tmp_path, [first]))
    assert report.problem is not None
    assert report.problem.reason is Reason.OUTPUT_INVALID
    assert f"{FOLDER}/00000.jsonl: is not what was stored there" in report.problem.message
    assert not (tmp_path / "r.jsonl").exists()


def test_afterwards_nothing_is_left_of_any_attempt(tmp_path: Path) -> None:
    first = store(tmp_path, 0, [(Kind.UNFINISHED, line("a", 1, succeeded=False))])
    (tmp_path / FOLDER / rest_path(part_name(0))).write_bytes(b"{}\n")
    again = store(tmp_path, 0, [(Kind.SUCCEEDED, line("a", 2, succeeded=True))], 2, [0])
    made = plan(tmp_path, [first, again])
    assert merge(made).problem is None
    assert merge(made.model_copy(update={"sweep": True})).problem is None
    assert [path.name for path in tmp_path.iterdir()] == ["r.jsonl"]


@pytest.mark.parametrize("text", [b"", b"x{}", b"\xff{}"])
def test_a_line_that_is_no_outcome_is_not_read_as_one(text: bytes) -> None:
    with pytest.raises(ValueError, match="Kind"):
        outcomes.read(text)
