"""A whole file's worth of requests passes through the transfer pods within 128 MiB."""

from tests.e2e import objects
from tests.e2e.conftest import Tenant

LINES = 100_000
WRITE = """
import json, os
os.makedirs("/data/in")
body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "x" * 1810}], "max_tokens": 1}
with open("/data/in/batch.jsonl", "w") as file:
    for number in range(100000):
        line = {"custom_id": f"request-{number}", "method": "POST", "url": "/v1/chat/completions", "body": body}
        file.write(json.dumps(line) + "\\n")
"""
READ = """
import json
ids = [json.loads(line)["custom_id"] for line in open("/data/out/results.jsonl")]
print(len(ids), ids == [f"request-{number}" for number in range(100000)])
"""


def test_200_mb_in_100_000_lines_pass_through_pods_of_128_mib_and_keep_their_order(tenant: Tenant) -> None:
    volume = objects.Volume(tenant.kube, "data", tenant.release.cluster.operator_image)
    volume.python(WRITE)
    # More memory than this ends the pod (OOMKilled), and the job would not complete.
    limits = {"resources": {"limits": {"memory": "128Mi"}, "requests": {"memory": "64Mi"}}}
    tenant.kube.apply(
        objects.job(
            "job",
            objects.in_volume("data", "in/batch.jsonl"),
            objects.in_volume("data", "out/results.jsonl"),
            transfer=limits,
        )
    )
    job = tenant.kube.wait_for("job", "Complete", seconds=240)
    assert job["status"]["requestCounts"] == {"total": LINES, "completed": LINES, "failed": 0}
    assert job["status"]["input"]["bytes"] > 195_000_000
    assert volume.python(READ).split() == [str(LINES), "True"]
    reasons = [event["reason"] for event in tenant.kube.events("job")]
    assert "TransferFailed" not in reasons
