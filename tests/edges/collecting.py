"""A batch that is done, and what collecting its results comes to."""

import json
from pathlib import Path
from typing import Any

import httpx

from llmbatch.transfer.edge.collect import collect
from llmbatch.transfer.edge.upload import upload
from llmbatch.transfer.pure.plan import CollectPlan
from llmbatch.transfer.pure.report import CollectReport, Problem
from tests.edges.plans import CHAT, connection_to, jsonl, upload_plan
from tests.emulator.client import Instance

FIVE = ("p1", "p2", "p3", "p4", "p5")
MIXED = ("a", "b--status-429", "c--missing", "d--duplicate", "e--malformed", "f--content-filter", "g--status-0", "h")


class Done:
    """A batch that is done, and a volume to store its results in."""

    def __init__(
        self, kong: Instance, root: Path, *custom_ids: str, data: bytes | None = None, model: str | None = None
    ) -> None:
        self.kong = kong
        self.root = root
        self.data = jsonl(*custom_ids) if data is None else data
        (root / "in.jsonl").write_bytes(self.data)
        report = upload(upload_plan(kong.url, model=model), self.data, {})
        order = {"input_file_id": report.file_id, "endpoint": CHAT, "completion_window": "24h"}
        batch_id = httpx.post(f"{kong.url}/batches", json=order).json()["id"]
        kong.advance(100_000)
        self.batch = httpx.get(f"{kong.url}/batches/{batch_id}").json()
        self.input = report.input

    def plan(self, **changes: Any) -> CollectPlan:
        given = {
            "connection": connection_to(self.kong.url),
            "input_file_id": self.batch["input_file_id"] or None,
            "output_file_id": self.batch["output_file_id"] or None,
            "error_file_id": self.batch["error_file_id"] or None,
            "endpoint": CHAT,
            "order": "Input",
            "input": self.input,
            "input_root": str(self.root),
            "input_path": "in.jsonl",
            "output_root": str(self.root),
            "output_path": "out/all.jsonl",
        }
        return CollectPlan.model_validate({**given, **changes})

    def collect(self, **changes: Any) -> CollectReport:
        report = collect(self.plan(**changes), {})
        assert not [path for path in self.root.rglob("*") if path.name.startswith(".")], "temporary files are gone"
        return report

    def results(self, name: str = "all.jsonl") -> list[str]:
        return [json.loads(line)["custom_id"] for line in (self.root / "out" / name).read_bytes().splitlines()]

    def remote(self, kind: str) -> bytes:
        return httpx.get(f"{self.kong.url}/files/{self.batch[kind]}/content").raise_for_status().content


def problem(report: CollectReport) -> Problem:
    assert report.problem is not None
    return report.problem


def counts(report: CollectReport) -> tuple[int, int, int]:
    assert report.problem is None, report.problem
    assert report.request_counts is not None
    return report.request_counts.total, report.request_counts.completed, report.request_counts.failed
