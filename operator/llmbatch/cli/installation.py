"""The operator as it is installed in the cluster, as far as the person may see it."""

from dataclasses import dataclass

from pydantic import ValidationError

from llmbatch.cli.cluster import DEPLOYMENTS, EVERYWHERE, ApiError, Cluster, Json
from llmbatch.settings import PREFIX, Settings

NAMESPACE = "llmbatch-system"
"""Where the README has it installed."""
_SELECTOR = "app.kubernetes.io/component=operator"
"""Others' operators have that too; but what else it is part of, a chart's commonLabels or a Kustomization may say."""


@dataclass(frozen=True)
class Installation:
    """A Deployment of the operator."""

    namespace: str
    name: str
    replicas: int
    ready: int
    settings: Settings

    @property
    def watches_everything(self) -> bool:
        """Tell whether it works in all namespaces."""
        return not self.settings.watch_namespaces

    def watches(self, namespace: str) -> bool:
        """Tell whether it works in a namespace."""
        return self.watches_everything or namespace in self.settings.watch_namespaces


def find(cluster: Cluster, namespace: str) -> list[Installation]:
    """Look for the operator everywhere, or where the person may not do that, in a namespace.

    Raises:
        ApiError: With status 403: the person may not see Deployments there either.
    """
    try:
        return _in(cluster, EVERYWHERE)
    except ApiError as error:
        if error.status != 403:
            raise
        return _in(cluster, namespace)


def _in(cluster: Cluster, namespace: str) -> list[Installation]:
    found = cluster.items(DEPLOYMENTS, namespace, _SELECTOR)
    return [_installation(item) for item in found if any(name.startswith(PREFIX) for name in _environment(item))]


def settings_of(cluster: Cluster, namespace: str) -> Settings | None:
    """Give the settings of the operator that works in the cluster's namespace; None: they can't be seen.

    Args:
        cluster: With the namespace of the BatchJobs.
        namespace: Where the operator is. Nowhere else is looked: whoever may make a Deployment in any namespace
            would choose the image that is run beside people's volumes.
    """
    try:
        found = _in(cluster, namespace)
    except ApiError as error:
        if error.status != 403:
            raise
        return None
    return next((item.settings for item in found if item.watches(cluster.namespace)), None)


def _container(found: Json) -> Json:
    container: Json = found["spec"]["template"]["spec"]["containers"][0]
    return container


def _environment(found: Json) -> dict[str, str]:
    return {item["name"]: item["value"] for item in _container(found).get("env") or [] if item.get("value")}


def _installation(found: Json) -> Installation:
    spec, status, metadata = found["spec"], found.get("status") or {}, found["metadata"]
    container, told = _container(found), _environment(found)
    told.setdefault(f"{PREFIX}IMAGE", container["image"])
    try:
        settings = Settings.from_environment(told)
    except ValidationError:
        # Of another release; what counts most is the image.
        settings = Settings(image=container["image"])
    return Installation(
        namespace=metadata["namespace"],
        name=metadata["name"],
        replicas=spec.get("replicas", 1),
        ready=status.get("readyReplicas", 0),
        settings=settings,
    )
