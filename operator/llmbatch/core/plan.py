"""What the operator asks of the transfer, and what the transfer answers; JSON on both ways.

The plan goes into the transfer Job's pod as the environment variable PLAN_VARIABLE; the report comes back as the
container's termination message, which holds at most REPORT_LIMIT_BYTES bytes. Neither ever holds a credential.
"""

from typing import Literal

from pydantic import Field

from llmbatch.api.base import Model
from llmbatch.api.batchjob_status import Failure, InputStatus, RequestCounts, Usage
from llmbatch.api.reasons import Reason

PLAN_VARIABLE = "LLMBATCH_PLAN"
REPORT_LIMIT_BYTES = 4096
REPORT_PATH = "/dev/termination-log"


class Setting(Model):
    """A header or query parameter: its value, or the environment variable that holds it."""

    name: str
    value: str | None = None
    variable: str | None = None


class Connection(Model):
    """How the gateway is reached. Files are paths in the container; headers and query hold no credential."""

    url: str
    files_path: str
    batches_path: str
    headers: list[Setting] = []
    query: list[Setting] = []
    ca_file: str | None = None
    certificate_file: str | None = None
    key_file: str | None = None
    authorities: str | None = None
    """PEM certificates that are trusted besides the system's, unless ca_file names others."""
    server_name: str | None = None
    """The name that the gateway's certificate is for, when it is not that of the url."""
    insecure_skip_verify: bool = False
    connect_seconds: int = 10
    request_seconds: int = 60
    transfer_seconds: int = 900


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
    look: bool = False
    """An earlier try may have sent the file: it is looked for by its name first. Says nothing about what is to be done,
    so that it makes no other Job."""


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
    output_root: str
    output_path: str
    """Where the results go; the failed ones go beside it, see errors_path()."""
    patient: bool = False
    """Results that are not all there yet are a problem (ResultsPending); else the verdict is made with what there is."""
    left_out: int | None = None
    """So many lines are all there will be, though they are fewer than the requests; None: one for each request."""
    accept_missing: bool = False
    """Files that are gone or can't be read are done without."""
    max_output_bytes: int | None = None
    """Most that the destination can hold, results and errors together; None: no limit."""


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


class LineError(Model):
    """What is wrong with one line of the input. Never quotes the line: it may hold a prompt."""

    line: int
    """From 1."""
    field: str
    """For example custom_id or body.model; empty: the line as a whole."""
    message: str

    @property
    def told(self) -> str:
        """The fault in one line."""
        return f"line {self.line}: {self.field} {self.message}".replace(":  ", ": ")


class Problem(Model):
    """Why a transfer did not do what was asked."""

    reason: Reason
    message: str
    final: bool = False
    """Trying again can't help (invalid input)."""
    retry_after_seconds: float | None = None
    """When the gateway said how long to wait."""
    side: Literal["input", "output"] | None = None
    """Which end of the spec it is about, when that isn't the transfer's own: an upload looks at the output too."""


class UploadReport(Model):
    """What became of an upload."""

    kind: Literal["upload"] = "upload"
    file_id: str | None = Field(None, alias="fileID")
    input: InputStatus | None = None
    line_errors: list[LineError] = []
    """The first ten."""
    line_error_count: int = 0
    unanswered: bool = False
    """The file was sent and may have been stored, but no answer named it."""
    listed: bool = False
    """The gateway's list of files was read to its end meanwhile, and does not show it."""
    problem: Problem | None = None


class CollectReport(Model):
    """What became of the results."""

    kind: Literal["collect"] = "collect"
    bytes: int = 0
    requests: int = 0
    """Lines written as results (succeeded requests)."""
    sha256: str = ""
    errors_bytes: int = 0
    errors_requests: int = 0
    errors_sha256: str = ""
    request_counts: RequestCounts | None = None
    usage: Usage | None = None
    failures: list[Failure] = []
    foreign_requests: int = 0
    """Lines that fit no request and may be worth something: of strangers, unreadable ones, and second answers."""
    foreign_bytes: int | None = None
    """Size of what was stored of them; None: nothing, there was no room or there are none."""
    foreign_sha256: str | None = None
    missing: int = 0
    """Requests for which the provider's files have no line that can be read."""
    malformed_lines: int = 0
    """Result lines that could not be read; their requests count as having no result."""
    foreign_lines: int = 0
    """Result lines whose custom_id is not in the input, or that repeat one that is settled; not among the results."""
    problem: Problem | None = None


class DiscardReport(Model):
    """What became of results that were to be deleted."""

    kind: Literal["discard"] = "discard"
    kept: list[str] = []
    """Files that are still there, each with the reason."""
    problem: Problem | None = None


Plan = UploadPlan | CollectPlan | DiscardPlan
Report = UploadReport | CollectReport | DiscardReport


def errors_path(path: str) -> str:
    """Say where the failed requests go, beside the results: out/a.jsonl gives out/a.errors.jsonl."""
    stem = path.removesuffix(".jsonl")
    return f"{stem}.errors.jsonl"


def foreign_path(path: str) -> str:
    """Say where lines go that fit no request, beside the results: out/a.jsonl gives out/a.foreign.jsonl."""
    stem = path.removesuffix(".jsonl")
    return f"{stem}.foreign.jsonl"
