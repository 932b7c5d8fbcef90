"""What the gateway does wrong in a campaign: kind, operation, details of a fault of the emulator."""

from typing import Any

FAULTS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("reset_after", "batches.create", {}),
    ("reset_after", "batches.create", {}),
    ("accepted_status", "batches.create", {"status": 504, "as_": "kong"}),
    ("accepted_status", "batches.create", {"status": 500}),
    ("hang_after", "batches.create", {"seconds": 4}),
    ("delay", "batches.create", {"seconds": 2}),
    ("status", "batches.create", {"status": 429, "retry_after": 1}),
    ("reset_after", "files.create", {}),
    ("delay", "files.create", {"seconds": 2}),
    ("delay", "files.content", {"seconds": 2}),
    ("truncate", "files.content", {"bytes": 100}),
    ("reset_before", "files.content", {}),
    ("status", "batches.get", {"status": 503, "as_": "kong"}),
    ("status", "batches.list", {"status": 502, "as_": "kong"}),
    ("reset_after", "files.delete", {}),
    ("reset_after", "batches.cancel", {}),
    ("status", "files.list", {"status": 500}),
)
