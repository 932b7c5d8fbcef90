"""Flux's and Argo CD's controllers and the Prometheus Operator as processes beside the kubelet.

The test that first needs them starts them; all others share them, and they end with the cluster.
"""

import base64
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from tests.cluster import Cluster, embedded, processes
from tests.cluster.gomodule import Module
from tests.cluster.paths import REPOSITORY, STATE, alone, content_hash
from tests.cluster.shell import ClusterError
from tests.e2e.kube import Kube
from tests.gitops import programs
from tests.gitops.programs import ARGO_CD as ARGO_CD_MODULE
from tests.gitops.programs import KUSTOMIZE_CONTROLLER, PROMETHEUS_OPERATOR, SOURCE_CONTROLLER

FLUX, ARGO_CD = "flux-system", "argocd"
CONFIG = REPOSITORY / "examples/gitops/argocd/argocd-cm.yaml"

_REDIS, _REPO_SERVER = 16379, 18081


@dataclass(frozen=True)
class Controller:
    """A process, and the port of loopback at which it listens once it works."""

    name: str
    argv: list[str | Path]
    port: int
    env: Mapping[str, str] = field(default_factory=dict)


def flux(cluster: Cluster) -> None:
    """Have Flux's source-controller and kustomize-controller work on the cluster."""
    programs.ensure(SOURCE_CONTROLLER, KUSTOMIZE_CONTROLLER)
    kube = Kube(cluster, FLUX)
    common: list[str | Path] = ["--enable-leader-election=false", "--metrics-addr=0", "--log-encoding=console"]
    env = {"KUBECONFIG": str(cluster.kubeconfig), "RUNTIME_NAMESPACE": FLUX, "TMPDIR": str(_folder("flux-tmp"))}
    _start(
        lambda: _prepare(kube, SOURCE_CONTROLLER, KUSTOMIZE_CONTROLLER),
        Controller(
            "source-controller",
            [
                SOURCE_CONTROLLER.program("source-controller"), *common, "--health-addr=127.0.0.1:19440", "--storage-addr=127.0.0.1:19790",
                "--storage-adv-addr=127.0.0.1:19790", f"--storage-path={_folder('flux')}",
            ],
            19790,
            env,
        ),
        Controller(
            "kustomize-controller",
            [KUSTOMIZE_CONTROLLER.program("kustomize-controller"), *common, "--health-addr=127.0.0.1:19441", "--requeue-dependency=2s"],
            19441,
            env,
        ),
    )  # fmt: skip


def argo_cd(cluster: Cluster) -> None:
    """Have Argo CD's application-controller and repo-server work on the cluster, with our health checks and action."""
    programs.ensure(ARGO_CD_MODULE)
    kube = Kube(cluster, ARGO_CD)
    folder = _folder("argocd")
    path = ":".join(
        map(
            str,
            (ARGO_CD_MODULE.folder / "bin", cluster.tools.helm.parent, cluster.tools.kubectl.parent, "/usr/bin:/bin"),
        )
    )
    env = {
        "PATH": path,
        "TMPDIR": str(_folder("argocd/tmp")),
        "ARGOCD_GPG_ENABLED": "false",
        "ARGOCD_ASK_PASS_SOCK": str(folder / "ask-pass.sock"),
        "ARGOCD_PLUGINSOCKFILEPATH": str(_folder("argocd/plugins")),
        "ARGOCD_TLS_DATA_PATH": str(_folder("argocd/tls")),
        "ARGOCD_SSH_DATA_PATH": str(_folder("argocd/ssh")),
        "ARGOCD_GPG_DATA_PATH": str(_folder("argocd/gpg")),
    }
    redis = f"--redis=127.0.0.1:{_REDIS}"
    _start(
        lambda: _prepare_argo_cd(kube),
        Controller(
            "redis",
            ["/usr/bin/redis-server", "--bind", "127.0.0.1", "--port", str(_REDIS), "--save", "", "--dir", str(folder)],
            _REDIS,
        ),
        Controller(
            "argocd-repo-server",
            [
                ARGO_CD_MODULE.program("argocd-repo-server"), redis, "--disable-tls", "--address=127.0.0.1",
                f"--port={_REPO_SERVER}",
                "--metrics-address=127.0.0.1", "--metrics-port=18084", "--logformat=text",
            ],
            _REPO_SERVER,
            env,
        ),
        Controller(
            "argocd-application-controller",
            [
                ARGO_CD_MODULE.program("argocd-application-controller"), redis, f"--repo-server=127.0.0.1:{_REPO_SERVER}",
                "--repo-server-plaintext", "--metrics-port=18082", f"--namespace={ARGO_CD}", "--self-heal-timeout-seconds=1",
                "--persist-resource-health",  # else an Application tells only of the worst
                "--logformat=text", f"--kubeconfig={cluster.kubeconfig}",
            ],
            18082,
            {**env, "KUBECONFIG": str(cluster.kubeconfig), "ARGOCD_FAKE_IN_CLUSTER": "true", "HOSTNAME": "argocd-0"},
        ),
    )  # fmt: skip


@dataclass(frozen=True)
class Credentials:
    """How a program that reads no kubeconfig reaches the API server: its address, and files in PEM."""

    server: str
    authority: Path
    certificate: Path
    key: Path


def prometheus_operator(cluster: Cluster) -> Credentials:
    """Have the Prometheus Operator work on the cluster; answers how it, and a Prometheus, reaches the API server."""
    programs.ensure(PROMETHEUS_OPERATOR)
    credentials = _credentials(cluster)
    _start(
        lambda: _prepare(Kube(cluster, "default"), PROMETHEUS_OPERATOR),
        Controller(
            "prometheus-operator",
            [
                PROMETHEUS_OPERATOR.program("operator"), f"--apiserver={credentials.server}", f"--ca-file={credentials.authority}",
                f"--cert-file={credentials.certificate}", f"--key-file={credentials.key}",
                "--web.listen-address=127.0.0.1:18090",
            ],
            18090,
        ),
    )  # fmt: skip
    return credentials


def _credentials(cluster: Cluster) -> Credentials:
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    (server,), (user,) = ([item[kind] for item in config[f"{kind}s"]] for kind in ("cluster", "user"))
    folder = _folder("credentials")

    def file(given: Mapping[str, str], name: str) -> Path:
        if name in given:
            return Path(given[name])
        path = folder / f"{name}.pem"
        path.write_bytes(base64.b64decode(given[f"{name}-data"]))
        path.chmod(0o600)
        return path

    return Credentials(
        server["server"],
        file(server, "certificate-authority"),
        file(user, "client-certificate"),
        file(user, "client-key"),
    )


def last_words(*names: str) -> str:
    """Give the end of the logs of controllers, for a test that fails."""
    return "\n".join(f"--- {name}\n{processes.last_words(name, 25)}" for name in names)


def _start(prepare: Callable[[], None], *controllers: Controller) -> None:
    with alone("gitops-controllers", "another test that starts the controllers"):
        running = processes.recorded()
        dead = [item for item in controllers if item.name not in running or not running[item.name].alive]
        # A cluster that was kept has what was wanted then; and what they need may have gone with a cluster before.
        wanted, prepared = content_hash([CONFIG], salt=repr(controllers)), _folder("prepared") / controllers[0].name
        if dead or not prepared.exists() or prepared.read_text() != wanted:
            prepare()
            prepared.write_text(wanted)
        for controller in dead:
            processes.start(controller.name, controller.argv, env=controller.env)
            _wait_for(controller)


def _wait_for(controller: Controller) -> None:
    deadline = time.monotonic() + 60
    while not embedded.answers(controller.port):
        if time.monotonic() > deadline or not processes.recorded()[controller.name].alive:
            raise ClusterError(f"{controller.name} does not come up:\n{processes.last_words(controller.name)}")
        time.sleep(0.2)


def _prepare(kube: Kube, *modules: Module) -> None:
    if not kube.exists("namespace", kube.namespace):
        kube.run("create", "namespace", kube.namespace)
    paths = [path for module in modules for path in module.crds()]
    for path in paths:
        kube.run("apply", "--server-side", "-f", str(path))
    for path in paths:
        # Not by its condition: kubectl wait gives up on a definition that has none yet.
        kube.run("wait", "--for=jsonpath={.status.acceptedNames.kind}", "-f", str(path), "--timeout=60s")


def _prepare_argo_cd(kube: Kube) -> None:
    _prepare(kube, ARGO_CD_MODULE)
    labels = {"app.kubernetes.io/part-of": "argocd"}
    config = yaml.safe_load(CONFIG.read_text())
    config["metadata"]["labels"] = labels
    others = [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "argocd-rbac-cm", "labels": labels}},
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "argocd-secret", "labels": labels},
            "stringData": {"server.secretkey": "none"},
        },
        {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "AppProject",
            "metadata": {"name": "default"},
            "spec": {
                "sourceRepos": ["*"],
                "destinations": [{"namespace": "*", "server": "*"}],
                "clusterResourceWhitelist": [{"group": "*", "kind": "*"}],
            },
        },
    ]
    kube.apply(config, *others)


def _folder(name: str) -> Path:
    folder = STATE / "gitops" / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder
