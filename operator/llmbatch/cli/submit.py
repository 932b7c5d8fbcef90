"""Making BatchJobs: of a file, or of the requests of an earlier one. Nothing is applied that is known to be refused."""

import os
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from typing import BinaryIO

from llmbatch.api.batchgateway import BatchGatewaySpec
from llmbatch.api.batchjob import BatchJobSpec
from llmbatch.api.batchjob_status import BatchJobStatus
from llmbatch.cli import objects, pods, verdict
from llmbatch.cli.cluster import ApiError, Cluster, Json, Target
from llmbatch.cli.objects import Order
from llmbatch.cli.told import NO, YES, CommandError, note, output, say
from llmbatch.jsonl import sending
from llmbatch.kube.permissions import CONFIGMAPS, GATEWAYS, JOBS, SECRETS
from llmbatch.kube.values import value_of
from llmbatch.transfer.pure import destination


def gateway_spec(cluster: Cluster, name: str) -> BatchGatewaySpec:
    """Read a BatchGateway's spec.

    Raises:
        CommandError: There is none, or it may not be read.
    """
    found = cluster.get(GATEWAYS, name)
    if found is None:
        try:
            others = sorted(item["metadata"]["name"] for item in cluster.items(GATEWAYS))
            there = f"there: {', '.join(others)}" if others else "there is none in this namespace"
        except ApiError:
            there = "those that are there can't be listed"
        raise CommandError(
            f"BatchGateway {cluster.namespace}/{name} does not exist: apply it, or name another one ({there})"
        )
    return objects.parsed(BatchGatewaySpec, found["spec"], f"spec of BatchGateway {name}")


def submit(cluster: Cluster, order: Order, helper: pods.Helper) -> int:
    """Check the input, and make what it takes to run it."""
    gateway = gateway_spec(cluster, order.gateway)
    # Opened once for all: standard input can't be read again.
    with _opened(order) as source:
        if (made := _checked(order, source, gateway, cluster.namespace)) is None:
            return NO
        for found in made:
            _create(cluster, found, dry_run=True)
        if order.copy and source is not None and order.claim is not None:
            pods.copy(cluster, helper, source, order.claim["claimName"], order.claim["path"])
    *inputs, job = made
    for found in inputs:
        _create(cluster, found)
    try:
        _create(cluster, job)
    except CommandError as error:
        _take_back(cluster, order, error)
        raise
    for found in made:
        say(_name(found) + " created")
    note(f"follow it with: {cluster.told_to('watch', order.name)}")
    return YES


def _take_back(cluster: Cluster, order: Order, error: CommandError) -> None:
    """Delete the input of a BatchJob that was refused; one whose create call was not answered may be there, and needs it."""
    if isinstance(error, ApiError) and not 400 <= error.status < 500:
        note(
            f"whether BatchJob {cluster.namespace}/{order.name} was made is not known: look before you submit it again"
        )
        return
    if order.claim is None:
        cluster.clear(CONFIGMAPS, order.config_map)
    elif order.copy:
        note("the input is in the volume by now: leave out --copy the next time")


def planned(order: Order, target: Target) -> int:
    """Check the input, and write what would be made; changes nothing anywhere, and needs no cluster."""
    if target.namespace is not None:
        objects.check_name(target.namespace, "namespace")
    try:
        gateway = gateway_spec(Cluster.connect(target), order.gateway)
    except CommandError as error:
        note(
            f"warning: the limits of a BatchGateway that says nothing of them count, since {order.gateway} can't be read: {error}"
        )
        gateway = verdict.UNKNOWN
    with _opened(order) as source:
        made = _checked(order, source, gateway, target.namespace)
    if made is None:
        return NO
    if order.copy:
        note("nothing is copied into the volume by a dry run")
    with output() as file:
        file.write(objects.written(made).encode())
    return YES


def retry(cluster: Cluster, name: str, *, force: bool, dry_run: bool) -> int:
    """Make a BatchJob of the same requests as an earlier one, which stays as it is."""
    job = cluster.job(name)
    status = objects.status_of(job)
    if not force and not status.has_ended:
        raise CommandError(
            f"BatchJob {cluster.namespace}/{name} has not ended (phase {status.phase or 'Pending'}), and its requests would"
            f" be paid for twice: wait for it ({cluster.told_to('watch', name)}), delete it, or say --force",
            NO,
        )
    if not force and (why := _changed(cluster, objects.spec_of(job), status)) is not None:
        raise CommandError(f"{why}; submit it as a job of its own, or say --force", NO)
    if not force and (other := _under_way(cluster, name)) is not None:
        raise CommandError(
            f"BatchJob {cluster.namespace}/{other} has the requests of {name} and has not ended: wait for it"
            f" ({cluster.told_to('watch', other)}), delete it, or say --force",
            NO,
        )
    made = objects.retry_of(job, datetime.now(UTC).strftime("%Y%m%d-%H%M%S"))
    if dry_run:
        with output() as file:
            file.write(objects.written([made]).encode())
        return YES
    try:
        _create(cluster, made, remedy="names have the second in them; wait for the next one, or for that BatchJob")
    except ApiError as error:
        if 400 <= error.status < 500:
            raise
        _find(cluster, made, error)
    say(_name(made) + " created")
    return YES


def _under_way(cluster: Cluster, name: str) -> str | None:
    """Name a BatchJob of the same requests that has not ended: the first one, or a retry of it, by whichever tool.

    None: there is none, or nobody can tell.
    """
    try:
        found = cluster.items(JOBS)
    except ApiError as error:
        if error.status != 403:
            raise
        note(f"you may not list BatchJobs: whether a retry of {name} is under way is not checked")
        return None
    by_name = {str(job["metadata"]["name"]): job for job in found}
    first = objects.first_of(name, by_name)
    for other, job in by_name.items():
        if other != name and objects.first_of(other, by_name) == first and not objects.status_of(job).has_ended:
            return other
    return None


def _find(cluster: Cluster, made: Json, error: ApiError) -> None:
    """Look for a BatchJob whose create call was not answered: another one would be paid for as well.

    Raises:
        CommandError: Whether it was made is not known; it may also come late.
    """
    name = made["metadata"]["name"]
    try:
        found = cluster.get(JOBS, name)
    except ApiError:
        found = None
    if found is None:
        told = f"whether BatchJob {cluster.namespace}/{name} was made is not known: {error}"
        raise CommandError(f"{told}; look before you retry: kubectl get bj -n {cluster.namespace} {name}") from None


def _opened(order: Order) -> AbstractContextManager[BinaryIO | None]:
    return nullcontext() if order.file is None else verdict.opened(order.file)


def _checked(
    order: Order, source: BinaryIO | None, gateway: BatchGatewaySpec, namespace: str | None
) -> list[Json] | None:
    """Make the objects, the BatchJob last; None: the input is invalid, which was told."""
    spec = order.spec()
    job = objects.new_spec(spec)
    if (flaw := destination.flaw(job)) is not None:
        raise CommandError(f"spec.output: {flaw}; name another place")
    if order.claim is None and job.output.config_map is not None and job.output.config_map.name == order.config_map:
        raise CommandError(
            f"spec.output: ConfigMap {order.config_map} is made for the input, and results are never written to what is there;"
            " name another one with --output-configmap"
        )
    made = [objects.batch_job(order.name, namespace, spec)]
    if source is None or order.file is None:
        note("the input is only in the volume: it is checked by the operator, before anything is sent")
        return made
    if order.claim is None:
        objects.check_size(source.seek(0, os.SEEK_END))
        source.seek(0)
    found = verdict.judge(source, job, gateway)
    for line in verdict.told(found, order.file):
        note(line)
    if found.problem is not None:
        return None
    if (warning := destination.too_small(job, found.requests)) is not None:
        note(f"warning: {warning}")
    if order.claim is None:
        source.seek(0)
        made.insert(0, objects.config_map(order.config_map, namespace, source.read()))
    return made


def _create(
    cluster: Cluster, made: Json, *, dry_run: bool = False, remedy: str = "give another --name, or delete it"
) -> None:
    resource = JOBS if made["kind"] == "BatchJob" else CONFIGMAPS
    given = {**made, "metadata": {**made["metadata"], "namespace": cluster.namespace}}
    try:
        cluster.create(resource, given, dry_run=dry_run)
    except ApiError as error:
        if error.status == 409:
            told = f"{made['kind']} {cluster.namespace}/{made['metadata']['name']} exists already, and is left as it is"
            raise CommandError(f"{told}: {remedy}") from None
        raise


def _name(made: Json) -> str:
    kind = "batchjob.llmbatch.io" if made["kind"] == "BatchJob" else "configmap"
    return f"{kind}/{made['metadata']['name']}"


def _changed(cluster: Cluster, spec: BatchJobSpec, status: BatchJobStatus) -> str | None:
    """Say that the input is not what was sent the first time; None: it is, or nobody can tell."""
    place, resource = spec.input.config_map or spec.input.secret, SECRETS if spec.input.secret else CONFIGMAPS
    if place is None:
        note("the input is in a volume: its requests are those that are there now")
        return None
    kind = "Secret" if resource is SECRETS else "ConfigMap"
    try:
        found_object = cluster.get(resource, place.name) or {}
    except ApiError as error:
        if error.status != 403:
            raise
        note(f"you may not read {kind} {place.name}: whether it still holds the same requests is not checked")
        return None
    data = value_of(found_object, place.key)
    if data is None:
        return f"{kind} {cluster.namespace}/{place.name} with the input has no key {place.key} any more"
    if status.input is None:
        return None
    found = sending.identity(lambda: [data] if data else [], spec.model, len(data))
    if found == (status.input.bytes, status.input.sha256):
        return None
    return f"key {place.key} of {kind} {cluster.namespace}/{place.name} is no longer what was sent the first time"
