"""A credential and a prompt that nobody else has, and a search for them in whatever the operator tells."""

import base64
from collections.abc import Iterable

CREDENTIAL_WORD = "quagga5d81c0"
PROMPT_WORD = "heronphone7f3a9"
"""Letters and digits alone: JSON and URLs write them as they are, however often they are escaped."""
CREDENTIAL = f'canary+"{CREDENTIAL_WORD}"/= &x'
PROMPT = f'Name the colour of the "Zwölfkämpfer" {PROMPT_WORD}\nin one word, please.'
_AROUND = 60


def forms(word: str) -> list[str]:
    """Give the ways in which a word may be written: as it is, in hexadecimal, in base64 wherever it begins."""
    data = word.encode()
    found = [word, data.hex()]
    for offset in range(3):
        encoded = base64.b64encode(b"\0" * offset + data).decode()
        # Without what the bytes around it have a part in.
        begin, end = (offset * 8 + 5) // 6, (offset + len(data)) * 8 // 6
        found.append(encoded[begin:end])
    return found


FORMS = {name: forms(word) for name, word in (("credential", CREDENTIAL_WORD), ("prompt", PROMPT_WORD))}


def scan(texts: Iterable[str]) -> list[str]:
    """Look for both in some texts; answers what was found, with what is around it."""
    found = []
    for text in texts:
        lower = text.lower()
        for name, words in FORMS.items():
            for number, word in enumerate(words):
                # Base64 alone tells capitals from small letters.
                at = text.find(word) if number > 1 else lower.find(word.lower())
                if at >= 0:
                    around = text[max(0, at - _AROUND) : at + len(word) + _AROUND]
                    found.append(f"the {name}: …{around}…")
                    break
    return found
