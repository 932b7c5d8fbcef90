"""What is released: a commit, or for a snapshot what is there."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tests.cluster import ClusterError, debian
from tests.cluster.shell import run
from tests.release import versions


@dataclass(frozen=True)
class Source:
    """A commit, and whether the files are still those."""

    commit: str
    committed: datetime  # in UTC
    tags: tuple[str, ...]
    changed: tuple[str, ...]  # as `git status --porcelain` has them

    @property
    def created(self) -> str:
        """RFC 3339; the commit's, so that the same commit makes the same image."""
        return self.committed.isoformat().replace("+00:00", "Z")


def read(root: Path) -> Source:
    """Ask git."""
    debian.install({program: package for program, package in debian.GITOPS.items() if package == "git"})
    commit, seconds = _git(root, "log", "-1", "--format=%H %ct").split()
    return Source(
        commit,
        datetime.fromtimestamp(int(seconds), UTC),
        tuple(_git(root, "tag", "--points-at", "HEAD").split()),
        tuple(_git(root, "status", "--porcelain", "--untracked-files=all").splitlines()),
    )


def version(root: Path, source: Source, *, snapshot: bool) -> str:
    """Name the version to release; refuse what is not the commit that carries its tag.

    A snapshot's name is no release's: 1.2.3-snapshot.g<commit>, with `.dirty` at the end if files were changed.
    """
    if complaints := versions.disagreements(root, snapshot=snapshot):
        raise ClusterError("\n".join(["The versions disagree:", *complaints]))
    named = versions.version(root)
    if snapshot:
        return f"{named}-snapshot.g{source.commit[:12]}" + (".dirty" if source.changed else "")
    if source.changed:
        names = "\n".join(source.changed[:10])
        raise ClusterError(f"These files are not as in commit {source.commit[:12]}:\n{names}\nCommit them; {_INSTEAD}")
    if (tag := f"v{named}") not in source.tags:
        raise ClusterError(f"Commit {source.commit[:12]} has no tag {tag}: git tag -s {tag}; {_INSTEAD}")
    return named


_INSTEAD = "or make a snapshot: SNAPSHOT=1"


def _git(root: Path, *arguments: str) -> str:
    # CI clones as one user and releases as another.
    return run(["git", "-c", f"safe.directory={root}", "-C", root, *arguments])
