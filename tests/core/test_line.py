"""Who goes next among those that wait for tokens: priority, the namespace with the least reserved, age."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from llmbatch.gateway.line import Waiting, admitted, in_order
from llmbatch.runtime.cache import BATCHGATEWAY, BATCHJOB
from llmbatch.runtime.queue import Key


def waiting(name: str, tokens: int, *, namespace: str = "a", priority: int = 0, made: int = 0) -> Waiting:
    created = f"2026-03-01T12:00:{made:02}Z"
    job, gateway = Key(BATCHJOB, namespace, name), Key(BATCHGATEWAY, namespace, "kong")
    return Waiting(job, 0, tokens, priority, created, gateway)


def names(items: list[Waiting]) -> list[str]:
    return [item.job.name for item in items]


def going(items: list[Waiting], reserved: int, **limits: int) -> list[str]:
    ordered = in_order(items, {})
    return names(admitted(ordered, reserved, lambda key: limits[key.namespace], max(limits.values())))


LINE = st.lists(
    st.builds(
        waiting,
        st.text("xyz", min_size=1, max_size=4),
        st.integers(1, 50),
        namespace=st.sampled_from("abc"),
        priority=st.integers(-2, 2),
        made=st.integers(0, 9),
    ),
    max_size=20,
    unique_by=lambda item: item.job,
)
RESERVED = st.dictionaries(st.sampled_from("abc"), st.integers(0, 100))


def test_a_higher_priority_goes_first_and_then_the_older_one() -> None:
    items = [waiting("young", 1, made=3), waiting("old", 1, made=1), waiting("high", 1, priority=5, made=9)]
    assert names(list(in_order(items, {}))) == ["high", "old", "young"]


def test_the_namespace_with_the_least_reserved_goes_before_age() -> None:
    items = [waiting("old", 1, made=1), waiting("young", 1, namespace="b", made=9)]
    assert names(list(in_order(items, {"a": 10, "b": 5}))) == ["young", "old"]


def test_namespaces_take_turns_by_what_each_would_have() -> None:
    items = [waiting(f"a{n}", 10, made=n) for n in range(3)]
    items += [waiting(f"b{n}", 5, namespace="b", made=n + 20) for n in range(3)]
    assert names(list(in_order(items, {}))) == ["a0", "b0", "b1", "a1", "b2", "a2"]


def test_nobody_overtakes_a_head_that_does_not_fit() -> None:
    assert going([waiting("large", 60, made=1), waiting("small", 1, made=2)], 50, a=100) == []
    assert going(
        [waiting("first", 30, made=1), waiting("large", 60, made=2), waiting("small", 1, made=3)], 50, a=100
    ) == ["first"]


def test_a_head_that_waits_for_its_own_smaller_limit_holds_nobody_else_up() -> None:
    items = [waiting("mine", 20, made=1), waiting("theirs", 20, namespace="b", made=2)]
    assert going(items, 50, a=10, b=100) == ["theirs"]
    assert going(items, 50, a=0, b=100) == ["theirs"]


def test_a_small_limit_of_ones_own_holds_back_the_same_behind_it() -> None:
    items = [waiting("large", 60, namespace="b", made=1), waiting("small", 5, made=2)]
    assert going(items, 50, a=60, b=100) == []


def test_with_nothing_reserved_the_provider_is_asked_though_less_was_learnt() -> None:
    assert going([waiting("large", 60, made=1), waiting("next", 1, made=2)], 0, a=50) == ["large"]


@given(LINE, RESERVED)
def test_everybody_is_in_line_once_and_priorities_never_rise(items: list[Waiting], reserved: dict[str, int]) -> None:
    ordered = list(in_order(items, reserved))
    assert Counter(ordered) == Counter(items)
    assert [item.priority for item in ordered] == sorted((item.priority for item in ordered), reverse=True)
    for place, item in enumerate(ordered):
        later = [other for other in ordered[place:] if (other.priority, other.gateway) == (item.priority, item.gateway)]
        assert min(other.created for other in later) == item.created


@given(LINE, st.integers(1, 200), st.integers(0, 200))
def test_those_that_go_fit_and_are_the_first_in_line(items: list[Waiting], limit: int, reserved: int) -> None:
    ordered = list(in_order(items, {}))
    found = admitted(ordered, reserved, lambda _: limit, limit)
    assert found == ordered[: len(found)]
    taken = reserved + sum(item.tokens for item in found)
    assert taken <= limit or not found or (reserved == 0 and len(found) == 1)
    if len(found) < len(ordered):
        assert taken + ordered[len(found)].tokens > limit
