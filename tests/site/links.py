"""A hook of MkDocs: links to files of the repository that are no pages lead into the repository, or become plain text.

The pages are read in the repository too, where such links work as they are.
"""

import re
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]
DOCS = REPOSITORY / "docs"
LINK = re.compile(r"(?<!!)\[(?P<text>[^\]]+)\]\((?P<to>(?!\w+:|#)[^)\s]+)\)")


def on_page_markdown(markdown: str, *, page: Any, config: Any, **_: Any) -> str:
    """Give a page's text as the site has it."""
    return rewritten(markdown, DOCS / page.file.src_uri, str(config.repo_url or ""))


def rewritten(markdown: str, page: Path, repository: str) -> str:
    """Give the text with links out of docs/ led to the repository's address, without one as the name of the file."""

    def replaced(found: re.Match[str]) -> str:
        to, hash_, anchor = found["to"].partition("#")
        target = (page.parent / to).resolve()
        if target.is_relative_to(DOCS) or not target.is_relative_to(REPOSITORY):
            return found[0]
        inside = str(target.relative_to(REPOSITORY))
        if repository:
            return f"[{found['text']}]({repository.rstrip('/')}/blob/HEAD/{inside}{hash_}{anchor})"
        named = found["text"].strip("`")
        return f"`{inside}`" if named.endswith(inside.rpartition("/")[2]) else f"{found['text']} (`{inside}`)"

    return LINK.sub(replaced, markdown)
