"""Whether a list was followed to an end that it states: only then it proves that something is not in it."""

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from llmbatch.batch.pure.submission import horizon, is_unclear
from llmbatch.provider.pure.lenient import WireError
from llmbatch.provider.pure.pages import MOST_BYTES, MOST_ENTRIES, Following, Listed
from llmbatch.provider.pure.wire import Page, read_files, read_page
from tests.support import build

Json = dict[str, Any]
OLDEST = horizon(build.NOW)


def entry(name: str, seconds_ago: float | None = 1.0, **given: Any) -> Json:
    made = None if seconds_ago is None else int(build.ago(seconds_ago).timestamp())
    return {"id": name, "status": "completed", "input_file_id": "file-x", "created_at": made, **given}


def page(*entries: object, **envelope: Any) -> bytes:
    return json.dumps({"object": "list", "data": list(entries), **envelope}).encode()


def followed(*bodies: bytes, most: int = 50) -> tuple[bool, list[str | None]]:
    """Follow a list; answers whether it is whole, and the cursors that were asked for."""
    following, cursors = Following(OLDEST, most), [None]
    for number, body in enumerate(bodies):
        read: Page = read_page(body)
        unclear = sum(is_unclear(batch, OLDEST) for batch in (*read.batches, *read.unusable))
        if not following.take(read, unclear):
            assert number == len(bodies) - 1, "nothing is asked for after the end"
            break
        cursors.append(following.after)  # type: ignore[arg-type]
    else:
        assert len(cursors) == len(bodies) + 1, "there would be more"
    return following.whole, cursors  # type: ignore[return-value]


A, B, C = entry("a"), entry("b"), entry("c")


@pytest.mark.parametrize("more", [False, "false", "False", "0", 0, "no"], ids=repr)
def test_a_list_that_states_its_end_is_whole(more: object) -> None:
    assert followed(page(has_more=more))[0]
    assert followed(page(A, B, has_more=more))[0]
    assert followed(page(A, has_more=True), page(B, has_more=more)) == (True, [None, "a"])


@pytest.mark.parametrize(
    "more", [True, "true", "True", " TRUE ", "1", 1, 1.0, "yes", None, "", "maybe", 2, -1, [], {}, [False]], ids=repr
)
def test_one_that_doesnt_is_not(more: object) -> None:
    assert not followed(page(has_more=more))[0]
    assert not followed(page(A, has_more=more))[0]
    assert not followed(page(A, has_more=True), page(has_more=more))[0]


def test_nor_is_one_that_says_nothing_of_an_end() -> None:
    assert not followed(page())[0]
    assert not followed(page(A), page(B), page())[0]


@pytest.mark.parametrize("name", ["nextLink", "@nextLink", "@odata.nextLink", "next_link", "next"])
@pytest.mark.parametrize("envelope", [{}, {"has_more": None}, {"has_more": False}], ids=str)
def test_a_link_to_the_next_page_is_no_end(name: str, envelope: Json) -> None:
    link = {name: "https://example.com/batches?skip=20"}
    assert not followed(page(A, **link, **envelope))[0]
    assert not followed(page(**link, **envelope))[0]
    assert followed(page(A, **{name: ""}, has_more=False))[0]


def test_an_empty_page_that_says_where_it_goes_on_is_followed() -> None:
    assert followed(page(has_more=True, last_id="x"), page(A, has_more=False)) == (True, [None, "x"])


@pytest.mark.parametrize(
    "bodies",
    [
        pytest.param([page(A, B, has_more=True), page(A, B, has_more=True)], id="the first page again"),
        pytest.param([page(A, B, has_more=True), page(A, B, has_more=False)], id="the first page again, as the end"),
        pytest.param([page(A, has_more=True, last_id="x"), page(B, has_more=True, last_id="x")], id="the same cursor"),
        pytest.param(
            [page(A, has_more=True), page(B, has_more=True), page(A, has_more=True)], id="a page of long before"
        ),
        pytest.param([page(has_more=True)], id="no cursor"),
        pytest.param([page(A, has_more=True, last_id="../x")], id="a cursor that can't be sent"),
        pytest.param([page(has_more=True, last_id="x"), page(has_more=True, last_id="x")], id="empty for ever"),
    ],
)
def test_a_list_that_cant_be_followed_is_not_whole(bodies: list[bytes]) -> None:
    assert not followed(*bodies)[0]


def test_a_list_of_too_many_pages_is_not_whole() -> None:
    bodies = [page(entry(f"b{number}"), has_more=True) for number in range(5)]
    assert followed(*bodies, most=5) == (False, [None, "b0", "b1", "b2", "b3"])


@pytest.mark.parametrize(
    "strange",
    [
        pytest.param(None, id="null"),
        pytest.param(7, id="a number"),
        pytest.param("batch_1", id="a text"),
        pytest.param([], id="a list"),
        pytest.param({}, id="nothing in it"),
        pytest.param({"id": "batch_1"}, id="an id alone"),
        pytest.param({"id": ""}, id="an empty id alone"),
        pytest.param({"id": "batch_1", "input_file_id": "", "metadata": {}}, id="empty all over"),
        pytest.param({"error": {"code": "internal"}}, id="an error"),
    ],
)
def test_an_entry_that_cant_be_read_may_be_the_one(strange: object) -> None:
    assert not followed(page(A, strange, has_more=False))[0]
    assert not followed(page(strange, has_more=True, last_id="x"), page(A, has_more=False))[0]


@pytest.mark.parametrize(
    "others",
    [
        pytest.param({"id": "", "input_file_id": "file-x"}, id="of another file, without an id"),
        pytest.param({"id": "b", "metadata": {"team": "x"}}, id="with another's metadata"),
        pytest.param({"id": "b", "input_blob": "https://example.com/in.jsonl"}, id="from blob storage"),
        pytest.param({"id": "b", "created_at": int(build.ago(5000).timestamp())}, id="made long before"),
    ],
)
def test_an_entry_that_is_clearly_anothers_is_no_doubt(others: Json) -> None:
    assert followed(page(A, others, has_more=False))[0]


def dated(*ages: float | None, more: object = True) -> bytes:
    return page(*(entry(f"b{number}", age) for number, age in enumerate(ages)), has_more=more)


NEW_TO_OLD = [100.0 * number for number in range(12)]  # the horizon lies 900 s back


@pytest.mark.parametrize(
    ("ages", "whole"),
    [
        pytest.param(NEW_TO_OLD, True, id="sorted, and past the horizon"),
        pytest.param(NEW_TO_OLD[:10], False, id="sorted, not past it"),
        pytest.param(NEW_TO_OLD[::-1], False, id="the other way round"),
        pytest.param([5000.0, *NEW_TO_OLD[1:]], False, id="in no order"),
        pytest.param([5000.0] * 12, False, id="all of one moment"),
        pytest.param([*NEW_TO_OLD[:5], None, *NEW_TO_OLD[5:]], False, id="one without a moment"),
        pytest.param([None] * 12, False, id="without moments"),
        pytest.param([0.0, 5000.0], False, id="two may be chance"),
    ],
)
def test_a_list_is_left_unread_only_where_it_is_sorted_and_past_the_horizon(
    ages: list[float | None], whole: bool
) -> None:
    following = Following(OLDEST, 50)
    assert following.take(read_page(dated(*ages))) is not whole
    assert following.whole is whole


@pytest.mark.parametrize("read", [read_page, read_files])
@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"{}",
        b'{"data": null}',
        b'{"data": {}}',
        b'{"data": "x", "has_more": false}',
        b'{"data": [], "has_more": false, "error": {"code": "x"}}',
    ],
)
def test_what_is_no_list_is_no_empty_one(read: Callable[[bytes], object], body: bytes) -> None:
    with pytest.raises(WireError):
        read(body)


@pytest.mark.parametrize("read", [read_page, read_files])
def test_a_list_of_nothing_may_be_null_if_it_says_that_it_is_a_list(read: Callable[[bytes], Listed]) -> None:
    page = read(b'{"object": "list", "data": null, "has_more": false}')
    assert (page.ids, page.more, page.unreadable) == ((), False, 0)


def test_a_list_of_files_that_says_nothing_has_no_further_page() -> None:
    following = Following(OLDEST, 50, unsaid_ends=True)
    files = [{"id": "file-1", "filename": "a.jsonl", "created_at": 5}]
    assert not following.take(read_files(page(*files)))
    assert following.whole


def test_a_file_without_a_name_may_be_anybodys() -> None:
    following = Following(datetime.fromtimestamp(9, build.NOW.tzinfo), 50)
    assert not following.take(read_files(page({"id": "file-1"}, has_more=False)))
    assert not following.whole


def test_a_list_is_followed_no_further_than_it_may_take_memory() -> None:
    following, body = Following(OLDEST, 500), page(A, has_more=True, padding="x" * (MOST_BYTES // 4))
    asked = 1
    while following.take(read_page(body.replace(b'"a"', b'"%d"' % asked))):
        asked += 1
    assert (asked, following.whole) == (4, False)


@pytest.mark.parametrize("read", [read_page, read_files])
def test_a_page_of_too_many_entries_is_not_read_and_proves_nothing(read: Callable[[bytes], Listed]) -> None:
    """Azure lists all files that a resource has: to take that for no answer would be to wait for another one for ever."""
    for entry_of_it in (b"{}", b"1", b'{"id":"a"}', b'{"id":"a","b":[1,2,3,4,5,6,7,8,9,10,11,12]}'):
        following = Following(OLDEST, 50, unsaid_ends=True)
        page = read(b'{"has_more":false,"data":[' + b",".join([entry_of_it] * (MOST_ENTRIES + 1)) + b"]}")
        assert page.ids == ()
        assert not following.take(page)
        assert not following.whole
