"""Lists that come in pages: what a page says of itself, and whether a list was followed to an end that it states.

Money hangs on the latter. "There is no such batch" is true only of a list that was read whole; one that goes on, that
can't be followed or that holds what nobody can read proves nothing.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from llmbatch.provider.pure import lenient

ORDERED = 10
"""So many entries in a row, each older than the one before, are no coincidence."""
MOST_ENTRIES = 20_000
"""Of a page: some services list all that they have, however many were asked for."""
ENTRY_BYTES = 1024
"""What an entry takes in memory besides its text, however short that is."""
MOST_BYTES = 64 * 1024 * 1024
"""Size of a list up to which it is followed: some 35,000 batches."""
NEXT_LINKS = ("nextLink", "@nextLink", "@odata.nextLink", "next_link", "next_page", "next_cursor", "next")
"""Members by which other services say that there is another page; Azure's own lists among them."""


@dataclass(frozen=True, kw_only=True)
class Listed:
    """One page of a list."""

    more: bool | None
    """True: it says that there is another page. False: it states its end. None: it says neither."""
    last_id: str | None  # to go on after; None: there is no telling
    ids: tuple[str, ...]
    """Of the entries that have one that can be used."""
    moments: tuple[datetime | None, ...]
    """When each entry was made, as they are listed."""
    unreadable: int = 0
    """Entries that can't be read: each may be what is looked for."""
    size: int = 0
    """Bytes that it takes in memory, roughly."""

    @property
    def has_more(self) -> bool:
        """Tell whether it says that there is another page."""
        return self.more is True


@dataclass
class Following:
    """Follows a list page by page."""

    oldest: datetime
    """What is looked for was not made before, by the provider's clock."""
    most_pages: int
    unsaid_ends: bool = False
    """A page that doesn't say whether there is another one is the last: Azure's list of files has no pages."""
    whole: bool = False
    """It was followed to an end that it states, or as far back as need be, and all of it could be read."""
    after: str | None = None
    """The id after which the next page begins."""
    _pages: int = 0
    _unclear: int = 0
    _bytes: int = 0
    _ids: set[int] = field(default_factory=set)
    """Hashes of them, which take less."""
    _cursors: set[str] = field(default_factory=set)
    _moments: list[datetime | None] = field(default_factory=list)

    def take(self, page: Listed, unclear: int = 0) -> bool:
        """Take a page in; answers whether another one is to be asked for.

        Args:
            page: The page.
            unclear: Further entries of it of which it can't be told whether they are what is looked for.
        """
        self._pages += 1
        # A cursor that is ignored brings the same page for ever, and whatever that page says of the end is not about ours.
        ids = {hash(own_id) for own_id in page.ids}
        repeats = self._pages > 1 and bool(ids) and self._ids.issuperset(ids)
        self._ids |= ids
        self._bytes += page.size
        self._moments += page.moments
        self._unclear += page.unreadable + unclear
        if repeats:
            return False
        if page.more is False or (page.more is None and self.unsaid_ends) or self._is_past():
            self.whole = self._unclear == 0
            return False
        if page.last_id is None or page.last_id in self._cursors or self._pages >= self.most_pages:
            return False
        if self._bytes >= MOST_BYTES:
            return False
        self._cursors.add(page.last_id)
        self.after = page.last_id
        return True

    def _is_past(self) -> bool:
        """Tell whether the list is sorted from new to old, and was read further back than need be."""
        moments = [moment for moment in self._moments if moment is not None]
        if len(moments) < len(self._moments) or not moments:
            # One that isn't dated may be of any time.
            return False
        return moments[-1] < self.oldest - timedelta(seconds=1) and is_newest_first(moments)


def is_newest_first(moments: Sequence[datetime]) -> bool:
    """Tell whether what was listed so far is sorted from new to old; the order of Azure's list is documented nowhere."""
    if len(moments) < ORDERED or moments[0] == moments[-1]:
        return False
    return all(newer >= older for newer, older in itertools.pairwise(moments))


def entries_of(body: bytes) -> tuple[dict[str, Any], list[Any]]:
    """Read the body of a list; answers it and its entries.

    Raises:
        lenient.WireError: It is not a list, or tells of an error.
    """
    data = lenient.mapping(lenient.unwrapped(body))
    if data.get("error"):
        raise lenient.WireError("the list tells of an error")
    entries = listed(data)
    if entries is None:
        raise lenient.WireError("the body has no list in 'data'")
    if len(entries) > MOST_ENTRIES:
        raise lenient.TooMuchError(f"the list has more than {MOST_ENTRIES} entries on a page")
    return data, entries


def listed(data: dict[str, Any]) -> list[Any] | None:
    """Give the entries of a list; None: it is none."""
    entries = data.get("data") or data.get("value") or data.get("data")  # very old previews of Azure said "value"
    if entries is None and "data" in data and data.get("object") == "list":
        # So Go writes a list that nothing was ever put into.
        return []
    return entries if isinstance(entries, list) else None


def size_of(body: bytes, entries: Sequence[Any]) -> int:
    """Give the bytes that a page takes in memory, roughly."""
    return len(body) + ENTRY_BYTES * len(entries)


def says_more(data: dict[str, Any]) -> bool | None:
    """Tell what a list says about another page; None: nothing that can be understood."""
    if any(data.get(name) for name in NEXT_LINKS):
        return True
    more = data.get("has_more")
    said = more.strip().lower() if isinstance(more, str) else more
    if said in (True, "true", "1", "yes"):
        return True
    return False if said in (False, "false", "0", "no") else None
