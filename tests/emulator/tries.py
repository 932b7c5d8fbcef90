"""Which lines have failed in which batches: a line that passes after some tries must be the same after a restart."""

from __future__ import annotations

import json
from pathlib import Path

from tests.emulator import markers
from tests.emulator.records import BatchRecord


class Tries:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, list[str]] = json.loads(path.read_text()) if path.exists() else {}

    def passes(self, custom_id: str, batch: BatchRecord) -> bool:
        """Whether a line that fails a number of times has done so, for whoever made the batch, as its metadata tells.

        A batch that is asked for again is told the same.
        """
        times = markers.of(custom_id).times
        if times is None:
            return False
        whose = (batch.metadata or {}).get("llmbatch_uid", "")
        failed = self._known.setdefault(f"{whose}/{custom_id}", [])
        if batch.id not in failed and len(failed) < times:
            failed.append(batch.id)
        return batch.id not in failed

    def keep(self) -> None:
        scratch = self._path.with_suffix(".new")
        scratch.write_text(json.dumps(self._known))
        scratch.replace(self._path)
