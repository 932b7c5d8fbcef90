"""Other people's text made fit to be shown: one line, no control characters, short."""

import re

# Control characters (C0, C1), line and paragraph separators, bidirectional overrides, lone surrogates: they could forge
# a line of a log, reorder what is read, or can't be written as UTF-8 at all.
_UNFIT = re.compile("[\x00-\x20\x7f-\xa0\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]+")
# Of these, what would steer a terminal, or change the order in which others are read; a text may have several lines.
_STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def one_line(text: str, limit: int = 256) -> str:
    """Fold white space and control characters into single blanks; cut to `limit` characters, ending in an ellipsis."""
    # Cut first: folding a text of megabytes for its first line would be work for nothing.
    short = folded(text[: limit * 4])
    if len(short) <= limit and len(text) <= limit * 4:
        return short
    return short[: limit - 1].rstrip() + "…"


def cut(text: str, limit: int) -> str:
    """Cut a text to `limit` characters, ending in an ellipsis; its lines stay, and nothing in it steers a terminal."""
    return for_terminal(text if len(text) <= limit else text[: limit - 1] + "…")


def for_terminal(text: str) -> str:
    """Put a replacement character in place of each that would steer a terminal; lines and tabs stay."""
    return _STEERING.sub("\ufffd", text)


def folded(text: str) -> str:
    """Fold white space and control characters into single blanks."""
    return _UNFIT.sub(" ", text).strip()
