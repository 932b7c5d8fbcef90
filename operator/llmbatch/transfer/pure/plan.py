"""What the operator asks of the transfer, and what the transfer answers; JSON on both ways.

The plan goes into the transfer Job's pod as the environment variable PLAN_VARIABLE; the report comes back as the
container's termination message, which holds at most REPORT_LIMIT_BYTES bytes. Neither ever holds a credential.
"""

import base64
import zlib
from typing import Literal

from llmbatch.api.base import Model
from llmbatch.api.batchjob_status import InputStatus
from llmbatch.api.request_policy import RequestFailurePolicy
from llmbatch.provider.pure.connection import Connection

PLAN_VARIABLE = "LLMBATCH_PLAN"
PLAIN_BYTES = 32 * 1024
"""A longer plan is written compressed: Linux starts no program with a variable of more than 128 KiB (MAX_ARG_STRLEN)."""
_COMPRESSED = "zlib:"
MOST_BYTES = 4 * 1024 * 1024
"""No plan is longer."""
OBJECTS_FILE = "input.jsonl"
"""Name of the file with what a ConfigMap or Secret holds, where one is mounted."""


class StoredRest(Model):
    """The lines of a batch's unfinished requests, as they were stored beside its results."""

    name: str
    """Of the file, in the folder of the parts."""
    bytes: int
    crc32: int


class Rests(Model):
    """What is sent again: the unfinished requests of several batches, one after the other."""

    folder: str
    """The folder beside the results in which they are."""
    files: list[StoredRest]


class UploadPlan(Model):
    """Validate the input and upload it."""

    kind: Literal["upload"] = "upload"
    connection: Connection
    filename: str
    """Name the file gets at the provider: <uid>-<part>-<attempt>.jsonl."""
    endpoint: str
    model: str | None = None
    """Replaces body.model on every line when set."""
    max_bytes: int
    max_requests: int
    max_line_bytes: int = 16 * 1024 * 1024
    root: str | None = None
    """Folder where the input's volume is mounted; None: the caller hands the bytes over itself."""
    path: str | None = None
    """The input below root."""
    output_root: str | None = None
    """Folder where the results' volume is mounted, to be looked at; None: it isn't."""
    output_path: str | None = None
    """Where the results are to go, below output_root."""
    split: bool | None = None
    """An input that is too large for one file is cut into parts, which are reported, and nothing is sent. None: it is refused."""
    offset: int | None = None
    """Where the part begins in the input."""
    length: int | None = None
    """How many bytes of the input the part is; None: all of it."""
    crc32: int | None = None
    """CRC-32 of these bytes when the input was cut."""
    cut_always: bool | None = None
    """The one part of an input that is not too large is reported too."""
    bytes_per_token: int | None = None
    """For the estimate of a request's tokens; None: as is usual."""
    max_tokens: int | None = None
    """Most tokens of a part, estimated; None: no limit. With a limit, what is cut is always reported."""
    token_ceiling: int | None = None
    """Most tokens of the input, estimated; None: no limit."""
    min_requests: int | None = None
    """An input with fewer requests is refused: the job could never succeed."""
    rests: Rests | None = None
    """What is sent in place of the input; in the volume of the results."""
    look: bool = False
    """An earlier try may have sent the file: it is looked for by its name first. Says nothing about what is to be done,
    so that it makes no other Job."""


class Judging(Model):
    """What is done about failed requests. The results are stored for ourselves: see jsonl.outcomes."""

    policy: RequestFailurePolicy | None = None
    """None: what is tried again where no rule matches."""
    again: bool = False
    """It is read what is sent again: that the input can't be had is a problem, and no word about any request."""


class CollectPlan(Model):
    """Download the results, join them with the input, and write them."""

    kind: Literal["collect"] = "collect"
    connection: Connection
    input_file_id: str | None = None
    """The uploaded input, whose order and custom_ids count when the input itself can't be reached."""
    output_file_id: str | None = None
    error_file_id: str | None = None
    endpoint: str
    model: str | None = None
    """What the upload put in place of body.model, if anything."""
    order: Literal["Input", "Completion"]
    input: InputStatus
    input_root: str | None = None
    input_path: str | None = None
    """The input in a volume, where it is mounted; used only while its size and SHA-256 are still those of `input`."""
    input_linked: bool | None = None
    """The volume is a ConfigMap or Secret: the kubelet makes a link of each file in it, and nobody else writes there."""
    offset: int | None = None
    """Where the part begins in the input."""
    length: int | None = None
    """How many bytes of the input the part is; None: all of it."""
    crc32: int | None = None
    """CRC-32 of the part when the input was cut: of one that was never sent nothing else is known."""
    output_root: str
    output_path: str
    """Where the results go; the failed ones go beside it, see errors_path()."""
    patient: bool = False
    """Results that are not all there yet are a problem (ResultsPending); else the verdict is made with what there is."""
    left_out: int | None = None
    """So many lines are all there will be, though they are fewer than the requests; None: one for each request."""
    accept_missing: bool = False
    """Files that are gone or can't be read are done without."""
    judging: Judging | None = None
    """Single requests are judged: those that may be tried again are told apart."""
    rests: Rests | None = None
    """The input is these, in the volume of the results."""
    max_output_bytes: int | None = None
    """Most that the destination can hold, results and errors together; None: no limit."""


class StoredPart(Model):
    """The results of one batch of several, as they were stored by themselves."""

    part: int
    attempt: int | None = None
    """From 2 on; None: 1."""
    parts: list[int] | None = None
    """The parts whose unfinished requests it sent again; None: it is the first attempt."""
    rest: bool | None = None
    """There is a file with its unfinished requests."""
    bytes: int
    sha256: str
    errors_bytes: int | None = None
    """None: no request of it failed."""
    errors_sha256: str | None = None
    foreign_bytes: int | None = None
    foreign_sha256: str | None = None


class MergePlan(Model):
    """Put the results of several batches together, in the order given."""

    kind: Literal["merge"] = "merge"
    root: str
    """Folder where the volume is mounted."""
    path: str
    """Where the results go, below root; the failed ones go beside them."""
    folder: str
    """The folder beside the results in which those of the parts are, see part_path()."""
    parts: list[StoredPart] = []
    judged: bool | None = None
    """Single requests were judged: of each, the first success counts, else the last failure."""
    order: Literal["Input", "Completion"] | None = None
    """Of judged results; in that of completion, `parts` are in it already."""
    sweep: bool | None = None
    """They were put together: the folder is removed, and nothing else is done."""


class DiscardPlan(Model):
    """Delete stored results from a volume, while they still are what was stored."""

    kind: Literal["discard"] = "discard"
    root: str
    """Folder where the volume is mounted."""
    path: str
    """The results below root; the failed requests are beside them, see errors_path()."""
    bytes: int
    sha256: str
    has_errors: bool = False
    errors_bytes: int | None = None
    errors_sha256: str | None = None
    foreign_bytes: int | None = None
    """None: nothing was stored of lines that fit no request."""
    foreign_sha256: str | None = None


Plan = UploadPlan | CollectPlan | MergePlan | DiscardPlan


def written(plan: Plan) -> str:
    """Write a plan as the value of PLAN_VARIABLE."""
    text = plan.model_dump_json(by_alias=True, exclude_none=True)
    if len(text.encode()) <= PLAIN_BYTES:
        return text
    return _COMPRESSED + base64.b64encode(zlib.compress(text.encode())).decode()


def read(value: str) -> str:
    """Read what `written` has written; answers the plan's JSON, or what is none."""
    if not value.startswith(_COMPRESSED):
        return value
    try:
        inflate = zlib.decompressobj()
        text = inflate.decompress(base64.b64decode(value.removeprefix(_COMPRESSED), validate=True), MOST_BYTES)
        # Whoever may make Jobs may put anything there, a thousand times as long when it is inflated.
        return text.decode() if inflate.eof else ""
    except (ValueError, zlib.error):
        return ""


def part_name(part: int, attempt: int | None = None) -> str:
    """Name the file with the results of one attempt at a part."""
    return f"{part:05d}.jsonl" if (attempt or 1) == 1 else f"{part:05d}-{attempt}.jsonl"


def parts_folder(uid: str) -> str:
    """Name the folder, beside the results, in which those of a job's parts are until they are put together."""
    return f".llmbatch-{uid}"


def parts_location(claim: str, path: str, uid: str) -> str:
    """Say where that folder is: in the volume of a claim, beside the results that go to a path in it."""
    beside, _, _ = path.rpartition("/")
    return f"persistentvolumeclaim/{claim} folder {'/'.join(filter(None, (beside, parts_folder(uid))))}"


def part_path(path: str, uid: str, part: int, attempt: int | None = None) -> str:
    """Say where a part's results go, below the volume's root, until they are put together."""
    beside, _, _ = path.rpartition("/")
    return "/".join(filter(None, (beside, parts_folder(uid), part_name(part, attempt))))


def errors_path(path: str) -> str:
    """Say where the failed requests go, beside the results: out/a.jsonl gives out/a.errors.jsonl."""
    stem = path.removesuffix(".jsonl")
    return f"{stem}.errors.jsonl"


def rest_path(path: str) -> str:
    """Say where the lines of unfinished requests go, beside the results: out/a.jsonl gives out/a.rest.jsonl."""
    stem = path.removesuffix(".jsonl")
    return f"{stem}.rest.jsonl"


def foreign_path(path: str) -> str:
    """Say where lines go that fit no request, beside the results: out/a.jsonl gives out/a.foreign.jsonl."""
    stem = path.removesuffix(".jsonl")
    return f"{stem}.foreign.jsonl"
