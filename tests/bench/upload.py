"""How fast the transfer uploads, next to curl: python -m tests.bench.upload [megabytes] [rounds]

Both send the same file to the same emulator on the loopback, in turn, so that a busy machine is busy for both. Shown are
medians, and the transfer's throughput as a share of curl's: for the upload alone, and with the validation before it.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from llmbatch.jsonl.lines import LineChecker
from llmbatch.provider.edge.files import Files
from llmbatch.provider.edge.outcome import Answered
from llmbatch.provider.edge.route import resolve
from llmbatch.provider.pure.connection import Connection
from llmbatch.transfer.edge.upload import content, upload
from llmbatch.transfer.edge.validate import validate
from llmbatch.transfer.pure.plan import UploadPlan
from tests.cluster import debian
from tests.emulator.server import EmulatorProcess

ENDPOINT = "/v1/chat/completions"


def write_input(path: Path, size: int) -> None:
    """Write about `size` bytes of chat requests of 2 kB each."""
    filler = "All work and no play makes a dull test, but the bytes have to come from somewhere. " * 22
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": filler}], "max_tokens": 60}
    line = json.dumps({"custom_id": "request-0000000", "method": "POST", "url": ENDPOINT, "body": body}) + "\n"
    with path.open("w") as file:
        for number in range(size // len(line)):
            file.write(line.replace("0000000", f"{number:07}", 1))


def timed(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main() -> None:
    megabytes = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    debian.install({"/usr/bin/curl": "curl"})
    with tempfile.TemporaryDirectory() as folder, EmulatorProcess(Path(folder, "state")) as emulator:
        url = emulator.instance("bench", max_file_bytes=10**10).url
        source = Path(folder, "input.jsonl")
        write_input(source, megabytes * 1_000_000)
        size = source.stat().st_size
        plan = UploadPlan(
            connection=Connection(url=url, files_path="/files", batches_path="/batches"),
            filename="bench.jsonl",
            endpoint=ENDPOINT,
            max_bytes=10**10,
            max_requests=10**9,
            root=folder,
            path="input.jsonl",
        )

        def by_curl() -> None:
            form = ["-F", "purpose=batch", "-F", f"file=@{source};type=application/jsonl"]
            subprocess.run(["curl", "-sSf", "-o", os.devnull, *form, f"{url}/files"], check=True)

        with source.open("rb", buffering=0) as opened:
            checked = validate(opened, LineChecker(ENDPOINT, None, 10**9), plan)

        def by_transfer() -> None:
            with Files(resolve(plan.connection, {})) as files, source.open("rb", buffering=0) as opened:
                result = files.upload("bench.jsonl", content(opened, checked, plan), checked.length)
                assert isinstance(result, Answered), result

        def validated() -> None:
            report = upload(plan, None, {})
            assert report.problem is None, report.problem

        ways = {"curl -F": by_curl, "upload alone": by_transfer, "validation and upload": validated}
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        by_curl()  # warms the page cache
        for _ in range(rounds):
            for name, way in ways.items():
                seconds[name].append(timed(way))
        medians = {name: statistics.median(values) for name, values in seconds.items()}
        for name, median in medians.items():
            share = medians["curl -F"] / median
            print(f"{name:24}{size / median / 1e6:8.0f} MB/s   {share:5.2f} of curl's throughput")


if __name__ == "__main__":
    main()
