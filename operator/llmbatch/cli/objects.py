"""The objects that are made for a person, how they are written for Git, and what is read of those that are there."""

import re
from dataclasses import dataclass
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from llmbatch.api import API_VERSION
from llmbatch.api.base import Model
from llmbatch.api.batchjob import MAX_OBJECT_BYTES, BatchJobSpec
from llmbatch.api.batchjob_status import BatchJobStatus
from llmbatch.cli.told import CommandError
from llmbatch.transfer.pure import destination

Json = dict[str, Any]
M = TypeVar("M", bound=Model)

STDIN = "-"
INPUT_KEY = "batch.jsonl"
RESULTS_KEY = "results.jsonl"
RETRY_ANNOTATION = "llmbatch.io/retry-of"
"""On a BatchJob of the same requests as an earlier one: that one's name. For people; the operator doesn't look at it."""
RESUBMIT_ANNOTATION = "llmbatch.io/resubmitted-from"
"""The same, of Argo CD's action Resubmit (examples/gitops/argocd)."""
_LONGEST_NAME = 200
_BREAKS = re.compile("[\r\x85\u2028\u2029]")
"""What YAML takes for the end of a line besides a line feed: in a block, it comes back as one."""
_STAMP = re.compile(r"-\d{8}-\d{6}$")


@dataclass(frozen=True)
class Order:
    """What a person wants to submit."""

    file: str | None
    """The input here; None: it is only in the volume."""
    gateway: str
    name: str
    output: Json
    """As spec.output has it."""
    claim: Json | None = None
    """Where the input is in a volume, as spec.input.persistentVolumeClaim has it."""
    copy: bool = False
    """It is not there yet."""
    endpoint: str | None = None
    model: str | None = None
    ready_when: str | None = None

    @property
    def config_map(self) -> str:
        """Name of the ConfigMap with the input."""
        return f"{self.name}-input"

    def spec(self) -> Json:
        """Make the spec."""
        source = {"configMap": {"name": self.config_map, "key": INPUT_KEY}}
        given = {"endpoint": self.endpoint, "model": self.model, "readyWhen": self.ready_when}
        return {
            "gatewayRef": {"name": self.gateway},
            **{key: value for key, value in given.items() if value is not None},
            "input": {"persistentVolumeClaim": self.claim} if self.claim is not None else source,
            "output": self.output,
        }


def order(
    file: str | None,
    *,
    gateway: str,
    name: str | None,
    outputs: tuple[str | None, str | None, str | None],
    claim: str | None,
    copy: bool,
    endpoint: str | None,
    model: str | None,
    ready_when: str | None,
) -> Order:
    """Read an order from options.

    Args:
        file: The input here, if it is.
        gateway: Name of the BatchGateway.
        name: Of the BatchJob; None: it is made from the input's.
        outputs: What --output-secret, --output-configmap and --output-claim say.
        claim: What --claim says.
        copy: Whether the file is to be put there.
        endpoint: As in the spec, as all that follows.
        model: The same.
        ready_when: The same.

    Raises:
        CommandError: They don't go together.
    """
    if file is None and (claim is None or copy):
        raise CommandError("there is no input: name a FILE, or with --claim CLAIM/PATH one that is in a volume")
    if copy and claim is None:
        raise CommandError("--copy needs --claim CLAIM/PATH, where the file is to go")
    place = path_in_claim(claim, "--claim") if claim is not None else None
    if name is None:
        if file == STDIN and place is None:
            raise CommandError("what comes from standard input has no name: give the BatchJob one with --name")
        name = name_of(file if file not in (None, STDIN) else (place or {})["path"])
    check_name(name, "--name")
    secret, object_, volume = outputs
    if sum(given is not None for given in outputs) > 1:
        raise CommandError("results go to one place: name one of --output-secret, --output-configmap, --output-claim")
    output = {"secret": key_in_object(f"{name}-results" if secret is None else secret, "--output-secret")}
    if object_ is not None:
        output = {"configMap": key_in_object(object_, "--output-configmap")}
    elif volume is not None:
        output = {"persistentVolumeClaim": path_in_claim(volume, "--output-claim")}
    return Order(file, gateway, name, output, place, copy, endpoint, model, ready_when)


def check_name(given: str, what: str) -> None:
    """Look whether an object can have a name; anything else would lead to another object's path, or to none.

    Raises:
        CommandError: It can't.
    """
    if not destination.OBJECT_NAME.fullmatch(given):
        raise CommandError(f"{what}: {given!r} {destination.NO_NAME}: correct it")


def name_of(file: str) -> str:
    """Make a name for a BatchJob from that of its input.

    Raises:
        CommandError: There is nothing in it that a name can have.
    """
    stem = file.rpartition("/")[2].partition(".")[0].lower()
    name = re.sub(r"[^a-z0-9]+", "-", stem)[:_LONGEST_NAME].strip("-")
    if not name:
        raise CommandError(f"no name can be made from {file!r}: give one with --name")
    return name


def key_in_object(given: str, option: str) -> Json:
    """Read NAME or NAME/KEY."""
    name, _, key = given.partition("/")
    if not name or "/" in key:
        raise CommandError(f"{option} {given!r} names no key of an object: write NAME or NAME/KEY")
    return {"name": name, "key": key or RESULTS_KEY}


def path_in_claim(given: str, option: str) -> Json:
    """Read CLAIM/PATH."""
    claim, _, path = given.partition("/")
    if not claim or not path or any(part in ("", ".", "..") for part in path.split("/")):
        raise CommandError(f"{option} {given!r} names no file in a volume: write CLAIM/PATH, the path without '..'")
    return {"claimName": claim, "path": path}


def metadata(name: str, namespace: str | None, **more: Any) -> Json:  # noqa: ANN401 - JSON has no narrower type
    """Make metadata; without a namespace, the object goes where it is applied."""
    return {"name": name, **({"namespace": namespace} if namespace else {}), **more}


def check_size(size: int) -> None:
    """Look whether a ConfigMap holds so many bytes.

    Raises:
        CommandError: It does not.
    """
    if size > MAX_OBJECT_BYTES:
        raise CommandError(
            f"the input has {size} bytes, and a ConfigMap holds {MAX_OBJECT_BYTES}: put it in a volume with"
            " --claim CLAIM/PATH --copy, or name with --claim the volume and path where it is already"
        )


def config_map(name: str, namespace: str | None, content: bytes) -> Json:
    """Make the ConfigMap with an input that was found valid."""
    made = metadata(name, namespace)
    # As it is, byte for byte: valid lines are UTF-8.
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": made, "data": {INPUT_KEY: content.decode()}}


def batch_job(name: str, namespace: str | None, spec: Json, annotations: dict[str, str] | None = None) -> Json:
    """Make a BatchJob."""
    more = {"annotations": annotations} if annotations else {}
    return {
        "apiVersion": API_VERSION,
        "kind": "BatchJob",
        "metadata": metadata(name, namespace, **more),
        "spec": spec,
    }


def retry_of(job: Json, stamp: str) -> Json:
    """Make a BatchJob of the same requests, under a name and with a place for its results of its own.

    Args:
        job: The first one, as the API server has it.
        stamp: When: 20260301-120000. It takes the place of the stamp of an earlier retry.
    """
    first = job["metadata"]["name"]
    output = dict(job["spec"]["output"])
    for place, member in (("secret", "name"), ("configMap", "name"), ("persistentVolumeClaim", "path")):
        if place in output:
            output[place] = {**output[place], member: stamped(output[place][member], stamp)}
    # Labels and annotations stay behind: what applies the first one from Git would take this one for its own, and prune it.
    spec = {**job["spec"], "output": output}
    return batch_job(stamped(first, stamp), job["metadata"]["namespace"], spec, {RETRY_ANNOTATION: first})


def first_of(name: str, among: dict[str, Json]) -> str:
    """Name the BatchJob whose requests one has, by way of any number of retries: itself, if it is none; it may be gone.

    Args:
        name: Of any BatchJob.
        among: BatchJobs of the same namespace, by name.
    """
    seen = set[str]()
    while name not in seen:
        seen.add(name)
        annotations = (among.get(name) or {}).get("metadata", {}).get("annotations") or {}
        name = annotations.get(RETRY_ANNOTATION) or annotations.get(RESUBMIT_ANNOTATION) or name
    return name


def stamped(name: str, stamp: str) -> str:
    """Put a stamp behind a name, or behind the stem of a file's in a path: out/r.jsonl gives out/r-20260301-120000.jsonl."""
    folder, slash, last = name.rpartition("/")
    stem, dot, suffix = (last.removesuffix(".jsonl"), ".jsonl", "") if last.endswith(".jsonl") else (last, "", "")
    stem = _STAMP.sub("", stem)[:_LONGEST_NAME].rstrip("-.")
    return f"{folder}{slash}{stem}-{stamp}{dot}{suffix}"


def status_of(job: Json) -> BatchJobStatus:
    """Read a BatchJob's status.

    Raises:
        CommandError: It is of another release, and this one can't read it.
    """
    return parsed(BatchJobStatus, job.get("status") or {}, f"status of BatchJob {job['metadata']['name']}")


def spec_of(job: Json) -> BatchJobSpec:
    """Read a BatchJob's spec; it raises as `status_of` does."""
    return parsed(BatchJobSpec, job["spec"], f"spec of BatchJob {job['metadata']['name']}")


def parsed(model: type[M], data: Json, what: str) -> M:
    """Read a part of an object that is in the cluster.

    Raises:
        CommandError: It is of another release, and this one can't read it.
    """
    try:
        return model.parse(data)
    except ValidationError as error:
        remedy = "install the release of llmbatch[cli] that the operator has"
        raise CommandError(f"{what} can't be read: {_faults(error)}; {remedy}") from None


def new_spec(spec: Json) -> BatchJobSpec:
    """Read a spec that was put together from options.

    Raises:
        CommandError: It does not fit the model.
    """
    try:
        return BatchJobSpec.parse(spec)
    except ValidationError as error:
        raise CommandError(f"the BatchJob would not be accepted: {_faults(error)}") from None


def _faults(error: ValidationError) -> str:
    return "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())


def written(made: list[Json]) -> str:
    """Write objects as YAML; lines of JSON stay lines, so that a change of one shows as such in Git."""
    return yaml.dump_all(made, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10**9)


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as blocks where YAML has them back unchanged."""


def _represent(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text and not _BREAKS.search(text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent)
