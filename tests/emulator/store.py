"""One instance's state on disk: contents byte for byte, and beside them small JSON files, each replaced as a whole.

A kill at any moment loses nothing that was answered: a record is in place before its answer leaves, and a content before
the record that names it. There is no fsync: what has to survive is the end of this process, not of the machine.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import uuid
from pathlib import Path
from typing import Any

from tests.emulator.config import Config
from tests.emulator.records import BatchRecord, FileRecord


class Store:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._contents = folder / "contents"
        self._files = folder / "files"
        self._batches = folder / "batches"
        self._uploads = folder / "uploads"
        self._settings = folder / "instance.json"
        self.tries = folder / "tries.json"

    def open(self) -> None:
        for folder in (self._contents, self._files, self._batches):
            folder.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(self._uploads, ignore_errors=True)  # begun, never answered
        self._uploads.mkdir()

    def clear(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.open()

    def settings(self) -> tuple[Config, float] | None:
        if not self._settings.exists():
            return None
        kept = json.loads(self._settings.read_text())
        return Config().merged(kept["config"]), kept["clock_offset"]

    def keep_settings(self, config: Config, clock_offset: float) -> None:
        _replace(self._settings, {"config": config.as_json(), "clock_offset": clock_offset})

    def files(self) -> list[FileRecord]:
        records = [FileRecord(**json.loads(path.read_text())) for path in self._files.glob("*.json")]
        return sorted(records, key=lambda record: record.created)

    def batches(self) -> list[BatchRecord]:
        records = [BatchRecord(**json.loads(path.read_text())) for path in self._batches.glob("*.json")]
        return sorted(records, key=lambda record: record.created)

    def keep_file(self, record: FileRecord) -> None:
        _replace(self._files / f"{record.id}.json", dataclasses.asdict(record))

    def keep_batch(self, record: BatchRecord) -> None:
        _replace(self._batches / f"{record.id}.json", dataclasses.asdict(record))

    def content(self, file_id: str) -> Path:
        return self._contents / file_id

    def new_path(self) -> Path:
        """Where a content may be written before it has a name; what is left there is gone after a restart."""
        return self._uploads / uuid.uuid4().hex

    def keep_content(self, upload: Path, file_id: str) -> None:
        upload.rename(self.content(file_id))

    def drop_content(self, file_id: str) -> None:
        self.content(file_id).unlink(missing_ok=True)


def _replace(path: Path, value: dict[str, Any]) -> None:
    scratch = path.with_suffix(".new")
    scratch.write_text(json.dumps(value))
    scratch.replace(path)
