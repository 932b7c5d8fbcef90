"""What one instance does, as frozen dataclasses: the defaults are a quick, healthy Azure behind an open Kong."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal

Dialect = Literal["azure", "openai"]


SIGNED = frozenset({"clock_offset_seconds"})
"""Keys that may be negative."""


class ConfigError(ValueError):
    """A key that doesn't exist or a value it can't take; the message names the key's full path."""


@dataclasses.dataclass(frozen=True)
class Kong:
    """The gateway in front. Disabled, the service's own paths and credentials apply."""

    enabled: bool = True
    routes: tuple[str, ...] = ("files", "batches")
    consumer_keys: tuple[str, ...] = ()  # empty: no key-auth plugin
    header: str = "apikey"  # also the name of the query parameter
    max_body_bytes: int = 0  # 0: off
    upstream_api_key: str | None = None  # None: the client's own credentials are passed on


@dataclasses.dataclass(frozen=True)
class Quirks:
    """Odd things that real services have been seen to do. None means: what the dialect usually does."""

    status_case: Literal["lower", "capitalised"] = "lower"
    timestamps: Literal["unix", "iso"] = "unix"
    # null: every member of request_counts is null; zero: every one is 0; absent: there is no request_counts
    counts: Literal["normal", "null", "zero", "absent"] = "normal"
    unknown_status: str | None = None  # shown in place of in_progress, for the seconds below
    unknown_status_seconds: float = 0.5
    error_file: Literal["", "empty_file"] | None = None  # of a batch in which no line failed
    output_file: Literal["empty_file"] | None = None  # of a batch in which no line succeeded
    late_output_seconds: float = 0.0  # an ended batch names its output file only so long after its end,
    late_error_seconds: float = 0.0  # and its error file
    filling_seconds: float = 0.0  # for so long after its end, what can be had of its files grows line by line
    cut_bytes: int = 0  # so many bytes are missing at the end of its files, as while they are being written
    in_progress_at: bool | None = None  # Azure: never set
    failed_at: bool | None = None  # Azure: null on a failed batch, which has completed_at instead
    output_bytes: bool = True  # false: the file object of a result has no `bytes`
    content_filter_results: bool = False  # Azure's annotations on chat completions
    missing_lines: int = 0  # of the first lines of the input, so many have no result,
    duplicate_lines: int = 0  # the next so many have two,
    malformed_lines: int = 0  # and the next so many one that isn't JSON


@dataclasses.dataclass(frozen=True)
class Config:
    dialect: Dialect = "azure"
    kong: Kong = Kong()
    quirks: Quirks = Quirks()
    api_keys: tuple[str, ...] = ()  # what the service itself accepts; empty: anything
    models: tuple[str, ...] | None = None  # deployments that exist; None: any

    file_pending_seconds: float = 0.0
    file_final_status: str = "processed"
    file_status_details: str | None = None
    validating_seconds: float = 0.2
    in_progress_seconds: float = 0.5
    finalizing_seconds: float = 0.2
    cancelling_seconds: float = 0.2
    window_seconds: float = 86400.0
    expires: bool = True  # false: as Azure's text has it, a batch runs on after its window

    cancel_allowed: tuple[str, ...] = ("validating", "in_progress", "finalizing", "cancelling", "cancelled")
    cancel_wins: bool = True  # false: the batch is done before the cancellation takes hold, and completes

    list_supported: bool = True
    list_lag_seconds: float = 0.0
    list_order: Literal["newest", "oldest", "none"] = "newest"  # none: in no order, the same every time
    list_follows: bool = True  # false: `after` is lost on the way, and every page is the first
    list_stale: bool = False  # true: it shows every batch as it was when it was made
    page_size: int = 100  # no page of batches is larger, whatever the limit asked for
    keep_metadata: bool = True  # false: lost on the way, as by a gateway that rebuilds bodies

    max_file_bytes: int = 200_000_000
    max_files: int = 500  # input files without expiry; Azure only
    max_lines: int | None = None  # None: 100,000 on Azure, 50,000 on OpenAI
    max_errors: int = 1000  # entries in errors.data
    quota_tokens: int | None = None  # enqueued tokens per deployment; None: unlimited
    quota_fail_fast: bool = True  # false: create succeeds and the batch fails after validating
    forced_errors: tuple[dict[str, Any], ...] = ()  # errors.data of every batch, whatever its input

    # Empty: of every batch; else what its metadata says whom quirks, forced_errors and window_seconds are for.
    only: dict[str, str] = dataclasses.field(default_factory=dict)

    clock_offset_seconds: float = 0.0  # how far this side's clock is ahead; negative: behind

    # This seed puts five lines in the order 4, 3, 1, 5, 2.
    seed: int = 51

    @property
    def line_limit(self) -> int:
        if self.max_lines is not None:
            return self.max_lines
        return 100_000 if self.dialect == "azure" else 50_000

    def of(self, metadata: Mapping[str, str] | None) -> Config:
        """What holds for a batch with this metadata: what is only for others is as it is by default."""
        if self.only.items() <= (metadata or {}).items():
            return self
        plain = Config()
        return dataclasses.replace(
            self, quirks=plain.quirks, forced_errors=plain.forced_errors, window_seconds=plain.window_seconds
        )

    def merged(self, changes: Mapping[str, Any]) -> Config:
        """The same with some keys changed; a nested object changes only the keys it has."""
        return _merge(self, changes, "")

    def as_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


T = typing.TypeVar("T", bound="Config | Kong | Quirks")


def _merge(current: T, changes: Mapping[str, Any], path: str) -> T:
    kinds = typing.get_type_hints(type(current))
    known = {field.name for field in dataclasses.fields(current)}
    values: dict[str, Any] = {}
    for key, value in changes.items():
        name = f"{path}{key}"
        if key not in known:
            raise ConfigError(f"{name}: no such key; there are: {', '.join(sorted(known))}")
        nested = getattr(current, key)
        if isinstance(nested, Kong | Quirks):
            if not isinstance(value, Mapping):
                raise ConfigError(f"{name}: expected an object, got {value!r}")
            values[key] = _merge(nested, value, f"{name}.")
        else:
            values[key] = _checked(value, kinds[key], name)
    return dataclasses.replace(current, **values)


def _checked(value: object, kind: object, name: str) -> object:
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in typing.get_args(kind):
            return None
        (kind,) = (arm for arm in typing.get_args(kind) if arm is not type(None))
        origin = typing.get_origin(kind)
    if origin is Literal:
        choices = typing.get_args(kind)
        if value not in choices:
            raise ConfigError(f"{name}: expected one of {', '.join(map(repr, choices))}, got {value!r}")
        return value
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise ConfigError(f"{name}: expected a list, got {value!r}")
        item = typing.get_args(kind)[0]
        return tuple(_checked(entry, item, f"{name}[{index}]") for index, entry in enumerate(value))
    return _plain(value, origin or kind, name)


def _plain(value: object, kind: object, name: str) -> object:
    assert isinstance(kind, type), "an annotation that no rule here understands"
    accepted = (int, float) if kind is float else kind
    # A bool is an int to Python, but not to whoever writes a configuration.
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
        raise ConfigError(f"{name}: expected {kind.__name__}, got {value!r}")
    if isinstance(value, int | float) and value < 0 and name not in SIGNED:
        raise ConfigError(f"{name}: expected zero or more, got {value!r}")
    return value
