"""What is installed in an image, read from its files."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

_PYTHON = ("opt/*/lib/python3*", "usr/lib/python3*", "usr/local/lib/python3*")
_LONGEST_LICENSE = 60
"""Some packages have the whole text there."""


@dataclass(frozen=True, order=True)
class Package:
    """A Python distribution (`pypi`) or a Debian package (`deb`)."""

    kind: str
    name: str
    version: str
    license: str = ""
    architecture: str = ""
    suite: str = ""  # of Debian, as in bookworm


def packages(root: Path) -> tuple[Package, ...]:
    """List what is installed below a root folder."""
    return tuple(sorted({*_python(root), *_debian(root)}))


def _python(root: Path) -> Iterator[Package]:
    folders = [str(found) for start in _PYTHON for found in root.glob(f"{start}/*-packages")]
    for distribution in metadata.distributions(path=folders):
        about = distribution.metadata
        given = [about[field] for field in ("License-Expression", "License") if field in about]
        license_ = given[0].strip() if given else ""
        name = re.sub(r"[-_.]+", "-", str(about["Name"])).lower()
        yield Package(
            "pypi", name, distribution.version, license_ if _is_short(license_) and license_ != "UNKNOWN" else ""
        )


def _is_short(text: str) -> bool:
    return len(text) <= _LONGEST_LICENSE and "\n" not in text


def _debian(root: Path) -> Iterator[Package]:
    status = root / "var/lib/dpkg/status"
    if not status.exists():
        return
    suite = dict(re.findall(r'^(\w+)="?([^"\n]*)"?$', (root / "etc/os-release").read_text(), re.MULTILINE))
    for paragraph in status.read_text(encoding="utf-8").split("\n\n"):
        fields = dict(re.findall(r"^([\w-]+): (.*)$", paragraph, re.MULTILINE))
        if fields.get("Status", "").endswith(" installed"):
            yield Package(
                "deb",
                fields["Package"],
                fields["Version"],
                architecture=fields["Architecture"],
                suite=suite.get("VERSION_CODENAME", ""),
            )
