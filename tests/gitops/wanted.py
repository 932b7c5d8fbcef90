"""What is wanted in the repositories of these tests: a BatchJob of two requests."""

import yaml

from tests.e2e import objects
from tests.e2e.kube import Json, Kube

PROMPTS = objects.config_map("prompts", {"batch.jsonl": objects.requests("a", "b")})
JOB = objects.job("job", objects.in_config_map("prompts"), objects.in_secret("out", "results"))


def file(*wanted: Json) -> dict[str, str]:
    """Give the files of a repository that wants these objects."""
    return {"all.yaml": yaml.safe_dump_all(wanted)}


def until_job(kube: Kube, reason: str, seconds: int = 90) -> None:
    """Wait until somebody has made the BatchJob, and its Ready has a reason."""
    kube.until_there("batchjob", "job", seconds)
    kube.until_reason("job", reason, seconds)
