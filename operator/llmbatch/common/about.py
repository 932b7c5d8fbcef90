"""What is being worked on, for the log: every line that is written meanwhile tells of it, wherever that is."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_ABOUT: ContextVar[dict[str, object] | None] = ContextVar("about", default=None)


def told() -> dict[str, object]:
    """Give what is being worked on."""
    return dict(_ABOUT.get() or {})


@contextmanager
def about(**what: object) -> Iterator[None]:
    """Work on something, besides what is known already; None says nothing."""
    token = _ABOUT.set({**told(), **{name: value for name, value in what.items() if value is not None}})
    try:
        yield
    finally:
        _ABOUT.reset(token)
