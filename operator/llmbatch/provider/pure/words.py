"""What may be shown of a provider's words where there is no request to compare them with.

A message may repeat the input in any form, so nothing of it is passed on: what is shown is written here. A sentence that
is known is told in its own words, with an ellipsis for what the provider filled in; of any other, only the code is.
"""

import re
from functools import cache
from http import HTTPStatus

from llmbatch.provider.pure import error_codes, sentences

NOT_SHOWN = "its message isn't shown, since it may repeat the input"
NOT_SHOWN_CREDENTIAL = "its message isn't shown: it repeats ***, a credential of the BatchGateway"
OTHER = "other"

_SLOT = re.compile(r"\{([a-z]*)\}")
_SLOTS = {
    "": r".*?",  # anything: never shown
    "n": r"[0-9][0-9,.]{0,15}[KMB]?",
    "p": r"[^'\"` ]{1,128}",
}
_PART = re.compile(r"[A-Za-z][a-z]*|[A-Z]+(?![a-z])|[0-9]+")
_CODE = re.compile(r"[A-Za-z0-9_.\-]{1,64}")
_STATUS = re.compile(r"HTTP (?:status )?[0-9]{3}( without a message)?")
_QUOTES = "'\"`\u201c\u2018\u00ab"
_PHRASES = {status.phrase.lower(): status.phrase for status in HTTPStatus}


def told(code: str | None, message: str) -> str:
    """Tell a refusal as far as it may be told without having what it refuses: never with anything of the message."""
    known = sentence(message)
    if known is not None:
        return known
    why = NOT_SHOWN_CREDENTIAL if "***" in message else NOT_SHOWN
    if not code:
        return why
    shown = code_of(code)
    meaning = explanation(shown)
    return f"code {shown}: {meaning}; {why}" if meaning else f"code {shown}; {why}"


def sentence(message: str) -> str | None:
    """Give a message that is made of sentences we know, in our own letters; None: it isn't, or there is none."""
    rest = message.strip()
    if _STATUS.fullmatch(rest):
        return rest
    phrase = _PHRASES.get(re.sub(r"^[0-9]{3} ", "", rest).rstrip(".").lower())
    if phrase is not None:
        return phrase
    found: list[str] = []
    while rest:
        for pattern, template in _patterns():
            match = pattern.match(rest)
            if match is not None and match.end() > 0:
                found.append(_filled(template, match))
                rest = rest[match.end() :].lstrip()
                break
        else:
            return None if not found else f"{' '.join(found)} …"
    return " ".join(found) or None


def code_of(text: str) -> str:
    """Give a code as it may be shown: one that is put together of the words that codes are made of, else "other"."""
    if text.lower() in error_codes.CODES:
        return text
    parts = _PART.findall(text)
    plain = _CODE.fullmatch(text) and "".join(parts) == re.sub(r"[_.\-]", "", text)
    if plain and parts and all(_is_code_word(part) for part in parts):
        return text
    return OTHER


def param_of(text: str | None) -> str | None:
    """Give the member that an error names as it may be shown: names that the API itself has, and places in lists."""
    if not text:
        return None
    parts = re.findall(r"[^.\[\]]+|\[[0-9]{1,6}\]", text[:256])
    shown = [part if part.lower() in error_codes.MEMBERS or part[0] == "[" else "…" for part in parts]
    if not any(part.lower() in error_codes.MEMBERS for part in parts):
        return None
    return re.sub(r"(\.…)+", ".…", ".".join(shown).replace(".[", "["))


def explanation(code: str) -> str | None:
    """Say in our own words what a documented code means, and what to do."""
    return error_codes.CODES.get(code.lower())


def _is_code_word(part: str) -> bool:
    return (part.isdigit() and len(part) <= 3) or part.lower() in error_codes.CODE_WORDS


@cache
def _patterns() -> list[tuple[re.Pattern[str], str]]:
    made = []
    for template in sentences.SENTENCES:
        pattern, at = "", 0
        for slot in _SLOT.finditer(template):
            pattern += re.escape(template[at : slot.start()]) + f"({_SLOTS[slot[1]]})"
            at = slot.end()
        tail = template[at:]
        # What ends in a slot takes the rest; a sentence's own full stop may be missing.
        pattern += re.escape(tail.rstrip(".")) + (r"\.?(?=\s|$)" if tail else "$")
        made.append((re.compile(pattern, re.IGNORECASE | re.DOTALL), template))
    return made


def _filled(template: str, match: re.Match[str]) -> str:
    values = iter(match.groups())

    def shown(slot: re.Match[str]) -> str:
        value = next(values)
        if slot[1] == "n":
            return value
        if slot[1] == "p":
            return param_of(value) or "…"
        if "***" in value:
            return "***"
        # Whose quotation marks they were is seen, not what was between them.
        if value[:1] in _QUOTES and value:
            return f"{value[0]}…{value[0]}"
        return "…"

    return _SLOT.sub(shown, template)
