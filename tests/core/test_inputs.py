"""What is remembered of small inputs is bounded, and given once."""

from llmbatch.transfers.inputs import LARGEST_BYTES, MOST_BYTES, Inputs


def test_an_input_is_given_once_and_then_read_again() -> None:
    inputs = Inputs()
    inputs.keep("a", b"1")
    assert inputs.take("a") == b"1"
    assert inputs.take("a") is None


def test_a_large_input_is_not_remembered_nor_is_what_was_there_before() -> None:
    inputs = Inputs()
    inputs.keep("a", b"1")
    inputs.keep("a", b"2" * (LARGEST_BYTES + 1))
    assert inputs.take("a") is None


def test_the_oldest_are_forgotten_when_all_together_are_too_large() -> None:
    inputs = Inputs()
    count = 3 * MOST_BYTES // LARGEST_BYTES
    for number in range(count):
        inputs.keep(str(number), b"1" * LARGEST_BYTES)
        inputs.keep("again", b"1" * LARGEST_BYTES)  # in the place of what was kept
    held = [number for number in range(count) if inputs.take(str(number)) is not None]
    assert held == list(range(count - len(held), count))
    assert len(held) == MOST_BYTES // LARGEST_BYTES - 1
