"""One independent service: its configuration, clock, files, batches, faults and record of calls."""

from __future__ import annotations

import asyncio
import collections
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.emulator.calls import Calls
from tests.emulator.config import Config
from tests.emulator.faults import Faults
from tests.emulator.records import BatchRecord, FileRecord
from tests.emulator.store import Store
from tests.emulator.tries import Tries

DEFAULT = "default"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class Instance:
    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.store = Store(folder)
        self.store.open()
        self.calls = Calls()
        self.faults = Faults()
        self.locks: collections.defaultdict[str, asyncio.Lock] = collections.defaultdict(asyncio.Lock)
        self.config, self._clock_offset = self.store.settings() or (Config(), 0.0)
        self.files: dict[str, FileRecord] = {record.id: record for record in self.store.files()}
        self.batches: dict[str, BatchRecord] = {record.id: record for record in self.store.batches()}
        self.tries = Tries(self.store.tries)

    def now(self) -> float:
        return time.time() + self._clock_offset + self.config.clock_offset_seconds

    def advance(self, seconds: float) -> None:
        self._clock_offset += seconds
        self.store.keep_settings(self.config, self._clock_offset)

    def configure(self, config: Config) -> None:
        self.config = config
        self.store.keep_settings(self.config, self._clock_offset)

    def reset(self, config: Config) -> None:
        self.store.clear()
        self.files, self.batches = {}, {}
        self.calls, self.faults = Calls(), Faults()
        self.tries = Tries(self.store.tries)
        self.locks.clear()
        self._clock_offset = 0.0
        self.configure(config)

    def keep_file(self, record: FileRecord) -> None:
        self.store.keep_file(record)
        self.files[record.id] = record

    def keep_batch(self, record: BatchRecord) -> None:
        self.store.keep_batch(record)
        self.batches[record.id] = record

    def live_file(self, file_id: str) -> FileRecord | None:
        """The file, unless it was deleted or has expired."""
        record = self.files.get(file_id)
        if record is None or record.deleted:
            return None
        if record.expires_at is not None and record.expires_at <= self.now():
            return None
        return record

    def drop_unused_content(self, file_id: str) -> None:
        """A deleted input is still read by the batches made from it."""
        record = self.files.get(file_id)
        used = any(batch.input_file_id == file_id and not batch.is_terminal for batch in self.batches.values())
        if record is not None and record.deleted and not used:
            self.store.drop_content(file_id)

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "config": self.config.as_json(),
            "now": self.now(),
            "files": len(self.files),
            "batches": len(self.batches),
            "calls": len(self.calls),
            "faults": len(self.faults),
        }


class Instances:
    """All of them, by name; the default one exists from the start."""

    def __init__(self, folder: Path, config: Mapping[str, Any] | None = None) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        names = {path.name for path in folder.iterdir() if path.is_dir() and NAME.fullmatch(path.name)}
        self._by_name = {name: Instance(name, folder / name) for name in names | {DEFAULT}}
        if config is not None:
            default = self._by_name[DEFAULT]
            default.configure(Config().merged(config))

    def get(self, name: str) -> Instance | None:
        return self._by_name.get(name)

    def names(self) -> list[str]:
        return sorted(self._by_name)

    def make(self, name: str, config: Config) -> Instance:
        """A new instance, or the one of that name with everything in it forgotten."""
        if name not in self._by_name:
            self._by_name[name] = Instance(name, self._folder / name)
        self._by_name[name].reset(config)
        return self._by_name[name]
