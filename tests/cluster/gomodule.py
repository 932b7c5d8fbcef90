"""Programs of one Go module each, for the tests that need them: kept in the cache under keys of their own, so that only those
pay for them who run these tests."""

import shutil
from dataclasses import dataclass, field
from pathlib import Path

from tests.cluster.gobuild import build, module_folder, need_go
from tests.cluster.paths import CACHE, alone, content_hash, made_whole
from tests.cluster.shell import step


@dataclass(frozen=True)
class Module:
    """A folder with a go.mod: what of it is built, and which custom resource definitions its upstream module brings."""

    name: str
    packages: tuple[str, ...]
    upstream: str = ""
    definitions: str = ""
    minutes: int = 4
    source: Path = field(kw_only=True, repr=False)  # not in the key, which has each file by its name in the repository
    links: tuple[str, ...] = field(default=(), kw_only=True, repr=False)  # further names of the program `cmd`
    ldflags: str = field(default="", kw_only=True, repr=False)  # beside those of every program

    @property
    def folder(self) -> Path:
        """Where what these sources make is, or would be."""
        inputs = [path for path in self.source.rglob("*") if path.is_file()]
        return CACHE / f"{self.name}-{content_hash(inputs, salt=repr(self) + self.ldflags)}"

    def program(self, name: str) -> Path:
        """Give a program by its name."""
        return self.folder / "bin" / name

    def crds(self) -> list[Path]:
        """Give the files with its custom resource definitions."""
        return sorted(path for path in (self.folder / "crds").glob("*.yaml") if path.name != "kustomization.yaml")

    def ensure(self) -> None:
        """Have its programs; build them if no clone on this machine has."""
        if not self.folder.is_dir():
            need_go(f"No {self.name}")
            with alone("modules", "another clone that builds programs for tests"):
                if not self.folder.is_dir():
                    self._make()

    def _make(self) -> None:
        with made_whole(self.folder) as unfinished:
            programs = unfinished / "bin"
            programs.mkdir()
            with step(f"{self.name}: building it from its Go module", about=f"{self.minutes} minutes"):
                build(self.source, self.packages, programs, title=self.name, ldflags=f"-s -w {self.ldflags}".strip())
            if self.definitions:
                shutil.copytree(module_folder(self.source, self.upstream) / self.definitions, unfinished / "crds")
            for name in self.links:
                (programs / name).symlink_to("cmd")
