"""Ids of the provider: what a URL can hold is used as it is, nothing else ever gets into a path."""

import pytest

from llmbatch.provider.pure.ids import is_safe_id, path_segment
from llmbatch.provider.pure.wire import read_batch, read_file
from tests.core.test_wire import batch, encoded


@pytest.mark.parametrize("file_id", ["../x", "x" * 1025, "file-1\n", " file-1", "a\nb", "\u2028a b", "\ud800x y"])
def test_a_files_id_that_no_path_can_hold_is_kept_fit_to_be_shown(file_id: str) -> None:
    found = read_batch(batch(output_file_id=file_id)).output_file_id
    assert found is not None
    assert not is_safe_id(found)
    assert len(found) <= 256
    assert found.isprintable()


@pytest.mark.parametrize("length", [257, 320, 1024])
def test_a_long_id_is_kept_whole(length: int) -> None:
    long = "x" * length
    read = read_batch(batch(id=long, output_file_id=long, error_file_id=long, input_file_id=long))
    assert {read.id, read.output_file_id, read.error_file_id, read.input_file_id} == {long}
    assert read_file(encoded({"id": long})).id == long


@pytest.mark.parametrize(("value", "segment"), [("a=b:c", "a=b:c"), ("50%25", "50%2525"), ("a+b&c", "a%2Bb%26c")])
def test_an_id_is_written_so_that_it_stays_one_segment_of_a_path(value: str, segment: str) -> None:
    assert path_segment(value) == segment


@pytest.mark.parametrize("nothing", [None, "", "\n"])
def test_a_files_id_of_nothing_is_none(nothing: object) -> None:
    assert read_batch(batch(output_file_id=nothing)).output_file_id is None


@pytest.mark.parametrize(
    ("value", "safe"),
    [
        ("file-da43", True), ("batch_a=.-", True), ("arn:aws:a~b", True), ("a+b,c", True), ("x" * 1024, True), ("50%25", True),
        ("a/b", False), (".", False), ("....", False), ("a\n", False), ("a b", False), ("ä", False), ("x" * 1025, False), ("", False),
        ("%2e%2e", False), ("a%2fb", False), ("a%252F..%252Fb", False), ("%5c", False), ("a%00", False), ("a@b", False), ("a;b", False),
    ],
)  # fmt: skip
def test_only_safe_ids_go_into_paths(value: str, safe: bool) -> None:
    assert is_safe_id(value) is safe
