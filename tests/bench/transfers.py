"""The transfers of a job whose input and results are in volumes: by the operator's own plans, each a process of its own."""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from llmbatch.api.batch_status import Batch
from llmbatch.api.batchgateway import BatchGatewaySpec
from llmbatch.api.batchjob import BatchJobSpec
from llmbatch.api.batchjob_status import BatchJobStatus
from llmbatch.batch.pure.part_view import PartView, with_part_results
from llmbatch.job.pure import parts
from llmbatch.jsonl import cut
from llmbatch.provider.pure.connection import Connection
from llmbatch.transfer.edge.main import REPORT_VARIABLE
from llmbatch.transfer.pure.mounts import INPUT_ROOT, OUTPUT_ROOT
from llmbatch.transfer.pure.naming import Owner
from llmbatch.transfer.pure.plan import PLAN_VARIABLE, Plan
from llmbatch.transfer.pure.report import CollectReport, MergeReport, UploadReport
from llmbatch.transfers import plans
from tests.support import build

# As `python -m llmbatch`, which then says what its memory came to: what the kernel tells a parent of a child's, begins with
# the parent's own.
_COMMAND = """\
import re, sys
from pathlib import Path
from llmbatch.__main__ import main
code = main(sys.argv[1:])
print(re.findall(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[0], file=sys.stderr)
sys.exit(code)
"""


@dataclass(frozen=True)
class Run:
    """What a transfer came to."""

    report: dict[str, Any]
    seconds: float
    kib: int
    """Its peak resident memory."""


class Transfers:
    """Runs what the operator would run for one job, and keeps its status as the operator does."""

    def __init__(self, url: str, folder: Path, source: str, results: str) -> None:
        """Take a gateway's URL, the folder that stands for both volumes, and the paths in it."""
        claims = {
            "input": {"persistentVolumeClaim": {"claimName": "data", "path": source}},
            "output": {"persistentVolumeClaim": {"claimName": "data", "path": results}},
        }
        self._spec = BatchJobSpec.parse(build.spec_json(**claims))
        self._gateway = BatchGatewaySpec.parse({"url": url})
        self._connection = Connection(url=url, files_path="/files", batches_path="/batches")
        self._owner = Owner("team-a", "large", build.UID)
        self._folder = folder
        self.status = BatchJobStatus(uid=build.UID)
        self.runs: dict[str, list[Run]] = {}
        """Of each kind: cut, upload, collect, merge."""

    def upload_all(self) -> None:
        """Check, cut and upload."""
        self.cut()
        self.upload()

    def collect_all(self) -> None:
        """Collect, and put together."""
        self.collect()
        self.merge()

    def cut(self) -> None:
        """Check the whole input and cut it."""
        run = self._run("cut", "upload", self._upload_plan(Batch()))
        report = UploadReport.parse(run.report)
        assert report.cuts is not None, "the input is too small for several parts"
        self.status = parts.with_cuts(self.status, report, cut.unpacked(report.cuts))

    def upload(self) -> None:
        """Upload each part."""
        for number, batch in enumerate(self.status.batches):
            report = UploadReport.parse(self._run("upload", "upload", self._upload_plan(batch)).report)
            assert report.file_id is not None, report
            assert report.input is not None
            self._put(number, input_file_id=report.file_id, sha256=report.input.sha256)

    def answered(self, number: int, batch: dict[str, Any]) -> None:
        """Take note of what the provider says of a part's batch that has ended."""
        files = {"output_file_id": batch["output_file_id"], "error_file_id": batch.get("error_file_id") or None}
        self._put(number, id=batch["id"], status=batch["status"], **files)

    def collect(self) -> None:
        """Collect each part's results."""
        for view in parts.views(self.status):
            seen = view.of(self.status)
            plan = plans.collect_plan(self._spec, seen, self._connection, plans.Look(patient=True))
            report = CollectReport.parse(self._run("collect", "collect", plan).report)
            assert report.problem is None, report.problem
            found = with_part_results(seen, report, datetime.now(UTC))
            self.status = PartView(view.index).put(self.status, found)

    def merge(self) -> None:
        """Put the results together."""
        target = self._spec.output.persistent_volume_claim
        assert target is not None
        plan = parts.merge_plan(self.status, self._spec, build.UID, target.path, OUTPUT_ROOT)
        report = MergeReport.parse(self._run("merge", "merge", plan).report)
        assert report.problem is None, report.problem

    def _put(self, number: int, **told: Any) -> None:
        batches = list(self.status.batches)
        batches[number] = batches[number].model_copy(update=told)
        self.status = self.status.model_copy(update={"batches": batches})

    def _upload_plan(self, batch: Batch) -> Plan:
        return plans.upload_plan(self._owner, self._spec, self._gateway, self._connection, batch=batch, attempt=1)

    def _run(self, what: str, command: str, plan: Plan) -> Run:
        # The one thing that differs from a pod: where the volumes are mounted.
        told = json.dumps(plan.dump()).replace(INPUT_ROOT, str(self._folder)).replace(OUTPUT_ROOT, str(self._folder))
        report = self._folder / "report.json"
        environ = {**os.environ, PLAN_VARIABLE: told, REPORT_VARIABLE: str(report)}
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", _COMMAND, command], env=environ, capture_output=True, text=True, check=False
        )
        seconds = time.perf_counter() - began
        assert done.returncode == 0, done.stdout + done.stderr
        run = Run(json.loads(report.read_text()), seconds, int(done.stderr.split()[-1]))
        assert "problem" not in run.report, run.report
        self.runs.setdefault(what, []).append(run)
        return run
