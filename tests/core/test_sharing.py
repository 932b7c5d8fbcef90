"""Objects held in memory share what they have in common, and stay as they are."""

import json

from hypothesis import given
from hypothesis import strategies as st

from llmbatch.common.sharing import LONGEST, shared
from llmbatch.runtime.cache import BATCHJOB, Cache
from llmbatch.runtime.queue import Key
from tests.support import build

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=LONGEST + 10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_what_is_shared_is_equal_in_value_and_kind(value: object) -> None:
    assert json.dumps(shared(value)) == json.dumps(value)


def test_two_objects_that_are_held_have_their_names_and_short_texts_once() -> None:
    cache = Cache()
    made = []
    for name in ("one", "two"):
        key = Key(BATCHJOB, "team-a", name)
        metadata = {"uid": f"uid-{name}", "resourceVersion": "1"}
        status = {"phase": "Submitting", "conditions": [{"type": "Ready", "message": "It waits for a place."}]}
        # As they come from the API server: each parsed by itself.
        cache.put(key, json.loads(json.dumps({**build.batchjob(name, metadata=metadata), "status": status})))
        held = cache.get(key)
        assert held is not None
        made.append(held)
    first, second = (item["status"]["conditions"][0] for item in made)
    assert first["message"] is second["message"]
    assert all(ours is theirs for ours, theirs in zip(first, second, strict=True))
