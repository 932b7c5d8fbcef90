"""The commands and their options. Each imports what it needs: the Kubernetes client alone takes a second."""

import traceback
from enum import StrEnum
from typing import Annotated

import typer

from llmbatch import __version__
from llmbatch.cli import objects, told
from llmbatch.cli.told import NO, UNABLE, UNREAD, YES, CommandError

app = typer.Typer(
    help="LLM batches on Kubernetes: check an input, submit it, follow it, fetch its results. Exit code 0: done, or good;"
    " 1: the answer is no (invalid, failed, a problem); 2: it could not be found out or done.",
    add_completion=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},  # kubectl has both
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


class ReadyWhen(StrEnum):
    """As in spec.readyWhen."""

    COMPLETED = "Completed"
    SUBMITTED = "Submitted"


class Format(StrEnum):
    """How objects are written."""

    YAML = "yaml"


File = Annotated[str, typer.Argument(metavar="FILE", help="JSONL, one request a line; - is standard input.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the BatchJob.")]
Namespace = Annotated[
    str | None, typer.Option("--namespace", "-n", metavar="NAME", help="Namespace; default: the context's.")
]
Context = Annotated[str | None, typer.Option("--context", metavar="NAME", help="Context of the kubeconfig.")]
Kubeconfig = Annotated[
    str | None, typer.Option("--kubeconfig", metavar="FILE", help="Default: KUBECONFIG, as kubectl.")
]
Endpoint = Annotated[
    str | None,
    typer.Option("--endpoint", metavar="PATH", help="Endpoint of the requests; default /v1/chat/completions."),
]
Model = Annotated[
    str | None, typer.Option("--model", metavar="NAME", help="Replaces body.model on every line (spec.model).")
]
Image = Annotated[
    str | None, typer.Option("--image", metavar="IMAGE", help="For a pod beside a volume; default: the operator's.")
]
Timeout = Annotated[float, typer.Option("--timeout", metavar="SECONDS", help="Until a pod beside a volume runs.")]
OperatorNamespace = Annotated[
    str, typer.Option("--operator-namespace", metavar="NAME", help="Where to look for the operator.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Write what would be made, for Git; change nothing.")]
Into = Annotated[str | None, typer.Option("-o", "--output", metavar="FILE", help="Default: standard output.")]

OPERATOR_NAMESPACE = "llmbatch-system"


def run(arguments: list[str] | None = None) -> int:
    """Run the command that the arguments name, by default the process' own; answers the exit code."""
    try:
        app(arguments, prog_name="kubectl llmbatch")
    except CommandError as error:
        told.note(f"error: {error}")
        return error.code
    except SystemExit as end:
        if isinstance(end.__context__, BrokenPipeError):
            return UNREAD  # typer makes a 1 of it, which is an answer here
        return end.code if isinstance(end.code, int) else UNABLE
    except Exception:  # noqa: BLE001 - whatever it is, it is no answer: Python's own exit code 1 would be one
        told.note(traceback.format_exc().rstrip())
        return UNABLE
    return YES


def _version(given: bool) -> None:
    if given:
        told.say(__version__)
        raise typer.Exit


@app.callback()
def _main(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version.")
    ] = False,
) -> None:
    del version  # it was said


@app.command()
def validate(
    file: File,
    *,
    gateway: Annotated[
        str | None, typer.Option("--gateway", metavar="NAME", help="BatchGateway whose limits count; default: none's.")
    ] = None,
    endpoint: Endpoint = None,
    model: Model = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Check an input as the operator will. Every fault is told with its line."""
    from llmbatch.cli import verdict

    limits = verdict.UNKNOWN
    if gateway is not None:
        from llmbatch.cli.cluster import Cluster, Target
        from llmbatch.cli.submit import gateway_spec

        limits = gateway_spec(Cluster.connect(Target(kubeconfig, context, namespace)), gateway)
    output = {"secret": {"name": "results", "key": objects.RESULTS_KEY}}
    order = objects.Order(file, gateway or "unknown", "job", output, endpoint=endpoint, model=model)
    with verdict.opened(file) as source:
        found = verdict.judge(source, objects.new_spec(order.spec()), limits)
    for line in verdict.told(found, file):
        told.say(line)
    raise typer.Exit(NO if found.problem is not None else YES)


@app.command()
def submit(
    file: Annotated[
        str | None, typer.Argument(metavar="FILE", help="JSONL, one request a line; - is standard input.")
    ] = None,
    *,
    gateway: Annotated[
        str, typer.Option("--gateway", metavar="NAME", help="BatchGateway that the batch goes through.")
    ],
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="Of the BatchJob; default: made from the file's.")
    ] = None,
    output_secret: Annotated[
        str | None,
        typer.Option("--output-secret", metavar="NAME[/KEY]", help="Results go there; default: NAME-results."),
    ] = None,
    output_configmap: Annotated[
        str | None, typer.Option("--output-configmap", metavar="NAME[/KEY]", help="Results go there.")
    ] = None,
    output_claim: Annotated[
        str | None, typer.Option("--output-claim", metavar="CLAIM/PATH", help="Results go to a file in a volume.")
    ] = None,
    claim: Annotated[
        str | None, typer.Option("--claim", metavar="CLAIM/PATH", help="The input is a file in a volume.")
    ] = None,
    copy: Annotated[bool, typer.Option("--copy", help="It is not there yet: copy FILE to it, through a pod.")] = False,
    endpoint: Endpoint = None,
    model: Model = None,
    ready_when: Annotated[ReadyWhen | None, typer.Option("--ready-when", help="See spec.readyWhen.")] = None,
    dry_run: DryRun = False,
    form: Annotated[Format, typer.Option("-o", "--output", help="How a dry run writes.")] = Format.YAML,
    image: Image = None,
    timeout: Timeout = 120,
    operator_namespace: OperatorNamespace = OPERATOR_NAMESPACE,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Check an input, and make a BatchJob of it. Nothing is made when it is invalid."""
    from llmbatch.cli import pods
    from llmbatch.cli import submit as submitting
    from llmbatch.cli.cluster import Cluster, Target

    del form  # there is one
    order = objects.order(
        file,
        gateway=gateway,
        name=name,
        outputs=(output_secret, output_configmap, output_claim),
        claim=claim,
        copy=copy,
        endpoint=endpoint,
        model=model,
        ready_when=ready_when,
    )
    target = Target(kubeconfig, context, namespace)
    if dry_run:
        raise typer.Exit(submitting.planned(order, target))
    helper = pods.Helper(image, timeout, operator_namespace)
    raise typer.Exit(submitting.submit(Cluster.connect(target), order, helper))


@app.command()
def watch(
    name: Name,
    *,
    interval: Annotated[float, typer.Option("--interval", metavar="SECONDS", min=0.05, help="Between two looks.")] = 2,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Follow a BatchJob until it ends. Exit code 0 when it is Complete, 1 when it is Failed."""
    from llmbatch.cli import watch as watching
    from llmbatch.cli.cluster import Cluster, Target

    raise typer.Exit(watching.watch(Cluster.connect(Target(kubeconfig, context, namespace)), name, interval))


@app.command()
def results(
    name: Name,
    *,
    into: Into = None,
    image: Image = None,
    timeout: Timeout = 120,
    operator_namespace: OperatorNamespace = OPERATOR_NAMESPACE,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Fetch a BatchJob's results. From wherever they are, and held against the status."""
    from llmbatch.cli import pods
    from llmbatch.cli import results as stored
    from llmbatch.cli.cluster import Cluster, Target

    helper = pods.Helper(image, timeout, operator_namespace)
    cluster = Cluster.connect(Target(kubeconfig, context, namespace))
    raise typer.Exit(stored.fetch(cluster, name, stored.RESULTS, into, helper))


@app.command()
def errors(
    name: Name,
    *,
    into: Into = None,
    image: Image = None,
    timeout: Timeout = 120,
    operator_namespace: OperatorNamespace = OPERATOR_NAMESPACE,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Fetch a BatchJob's failed requests. From wherever they are, and held against the status."""
    from llmbatch.cli import pods
    from llmbatch.cli import results as stored
    from llmbatch.cli.cluster import Cluster, Target

    helper = pods.Helper(image, timeout, operator_namespace)
    cluster = Cluster.connect(Target(kubeconfig, context, namespace))
    raise typer.Exit(stored.fetch(cluster, name, stored.ERRORS, into, helper))


@app.command()
def retry(
    name: Name,
    *,
    force: Annotated[
        bool, typer.Option("--force", help="Though the first one has not ended, or its input was changed.")
    ] = False,
    dry_run: DryRun = False,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Make a BatchJob of the same requests. All of them are paid for again; the first one stays as it is."""
    from llmbatch.cli import submit as submitting
    from llmbatch.cli.cluster import Cluster, Target

    cluster = Cluster.connect(Target(kubeconfig, context, namespace))
    raise typer.Exit(submitting.retry(cluster, name, force=force, dry_run=dry_run))


@app.command()
def doctor(
    *,
    operator_namespace: OperatorNamespace = OPERATOR_NAMESPACE,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Say what BatchJobs of a namespace lack. And what to do about it."""
    from llmbatch.cli import doctor as examination
    from llmbatch.cli.cluster import Cluster, Target

    cluster = Cluster.connect(Target(kubeconfig, context, namespace))
    raise typer.Exit(examination.examine(cluster, operator_namespace))
