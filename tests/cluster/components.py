"""The embedded cluster's processes: their order, arguments and settings files."""

from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.cluster import network
from tests.cluster.network import ADDRESS, API_SERVICE, POD_NETWORK, SERVICE_NETWORK
from tests.cluster.paths import STATE
from tests.cluster.pki import Authority, Pair
from tests.cluster.shell import ClusterError

NODE = "llmbatch-node"
API_SERVER = f"https://{ADDRESS}:6443"
KUBECONFIG = STATE / "kubeconfig"
SETTINGS = STATE / "settings"
CONTAINERD_SOCKET = STATE / "containerd.sock"
POD_LOGS = STATE / "pod-logs"
VOLUMES = STATE / "volumes"
PAUSE_IMAGE = "localhost/pause:1"
PROVISIONER = "llmbatch.example/folder"

UNMOVABLE_POD_LOGS = Path("/var/log/pods")
"""Where the kubelet of the oldest Kubernetes writes them, whatever its settings: a link to ours."""

# Not etcd's usual ports: a developer's own etcd may have those.
ETCD_PORT = 12379
_ETCD = f"http://127.0.0.1:{ETCD_PORT}"
_ETCD_PEER = "http://127.0.0.1:12380"


@dataclass(frozen=True)
class Component:
    name: str
    argv: list[str | Path]


def configure(*, newest: bool = True) -> None:
    """Write keys and settings files, for servers of the newest Kubernetes or of the oldest that is supported."""
    SETTINGS.mkdir(parents=True, exist_ok=True)
    for folder in (POD_LOGS, VOLUMES):
        folder.mkdir(exist_ok=True)
    keys = Authority(STATE / "pki")
    names = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local")
    keys.issue("kube-apiserver", common_name="kube-apiserver", hosts=(*names, API_SERVICE, ADDRESS))
    keys.issue("kubelet", common_name=f"system:node:{NODE}", organization="system:nodes", hosts=(NODE, ADDRESS))
    keys.issue("service-account", common_name="service-account")
    keys.issue("kubelet-client", common_name="kube-apiserver-kubelet-client", organization="system:masters")
    for name in ("kube-controller-manager", "kube-scheduler", "kube-proxy"):
        keys.kubeconfig(_kubeconfig(name), API_SERVER, keys.issue(name, common_name=f"system:{name}"))
    keys.kubeconfig(_kubeconfig("kubelet"), API_SERVER, _pair("kubelet"))
    admin = keys.issue("admin", common_name="llmbatch-admin", organization="system:masters")
    _write("containerd.toml", _containerd_settings())
    _write("kubelet.yaml", yaml.safe_dump(_kubelet_settings() | (_newer_kubelet_settings() if newest else {})))
    gates = {} if newest else {"featureGates": {"NFTablesProxyMode": True}}
    _write("kube-proxy.yaml", yaml.safe_dump(_proxy_settings() | gates))
    _write("Corefile", _corefile())
    _write("resolv.conf", "")
    if not newest:
        _link_pod_logs()
    # Last: it being there says that everything else is.
    keys.kubeconfig(KUBECONFIG, API_SERVER, admin)


def components(programs: Path, servers: Path) -> list[Component]:
    """List all processes in the order in which they start.

    Args:
        programs: The folder of the toolchain's programs.
        servers: The folder of Kubernetes' own servers.
    """
    pki, ca = STATE / "pki", STATE / "pki" / "ca.crt"
    server, kubelet_client, service_account = _pair("kube-apiserver"), _pair("kubelet-client"), _pair("service-account")
    arguments: dict[str, list[str | Path]] = {
        "containerd": ["/usr/bin/containerd", "--config", SETTINGS / "containerd.toml"],
        "etcd": [
            programs / "etcd",
            f"--data-dir={STATE / 'etcd'}",
            "--unsafe-no-fsync",  # a power cut may cost us the data of a throw-away cluster
            f"--listen-client-urls={_ETCD}",
            f"--advertise-client-urls={_ETCD}",
            f"--listen-peer-urls={_ETCD_PEER}",
            f"--initial-advertise-peer-urls={_ETCD_PEER}",
            f"--initial-cluster=default={_ETCD_PEER}",
        ],
        "kube-apiserver": [
            servers / "kube-apiserver",
            f"--bind-address={ADDRESS}",
            f"--advertise-address={ADDRESS}",
            "--secure-port=6443",
            f"--etcd-servers={_ETCD}",
            f"--service-cluster-ip-range={SERVICE_NETWORK}",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--allow-privileged=true",
            f"--client-ca-file={ca}",
            f"--tls-cert-file={server.certificate}",
            f"--tls-private-key-file={server.key}",
            f"--kubelet-certificate-authority={ca}",
            f"--kubelet-client-certificate={kubelet_client.certificate}",
            f"--kubelet-client-key={kubelet_client.key}",
            # Else `kubectl logs` looks the node's name up in the host's DNS.
            "--kubelet-preferred-address-types=InternalIP",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={service_account.certificate}",
            f"--service-account-signing-key-file={service_account.key}",
        ],
        "kubelet": [
            servers / "kubelet",
            f"--config={SETTINGS / 'kubelet.yaml'}",
            f"--kubeconfig={_kubeconfig('kubelet')}",
            f"--root-dir={STATE / 'kubelet'}",
            f"--hostname-override={NODE}",
            f"--node-ip={ADDRESS}",
        ],
        "kube-controller-manager": [
            servers / "kube-controller-manager",
            f"--kubeconfig={_kubeconfig('kube-controller-manager')}",
            "--bind-address=127.0.0.1",
            "--leader-elect=false",
            "--use-service-account-credentials",
            "--allocate-node-cidrs",
            f"--cluster-cidr={POD_NETWORK}",
            f"--service-cluster-ip-range={SERVICE_NETWORK}",
            f"--root-ca-file={ca}",
            f"--service-account-private-key-file={service_account.key}",
            f"--cluster-signing-cert-file={ca}",
            f"--cluster-signing-key-file={pki / 'ca.key'}",
            f"--flex-volume-plugin-dir={STATE / 'volume-plugins'}",  # else it makes one in /usr
        ],
        "kube-scheduler": [
            servers / "kube-scheduler",
            f"--kubeconfig={_kubeconfig('kube-scheduler')}",
            "--bind-address=127.0.0.1",
            "--leader-elect=false",
        ],
        "kube-proxy": [servers / "kube-proxy", f"--config={SETTINGS / 'kube-proxy.yaml'}"],
        "coredns": [programs / "coredns", "-conf", SETTINGS / "Corefile"],
        "provisioner": [
            programs / "kube",
            "provisioner",
            f"--kubeconfig={KUBECONFIG}",
            f"--name={PROVISIONER}",
            f"--node={NODE}",
            f"--root={VOLUMES}",
        ],
    }
    return [Component(name, argv) for name, argv in arguments.items()]


def _containerd_settings() -> str:
    return f"""version = 2
root = "{STATE}/containerd"
state = "{STATE}/containerd-run"
oom_score = 0

[grpc]
address = "{CONTAINERD_SOCKET}"

[plugins."io.containerd.internal.v1.opt"]
path = "{STATE}/containerd-opt"

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{PAUSE_IMAGE}"
netns_mounts_under_state_dir = true
# Without CAP_SYS_RESOURCE every pod would otherwise die with "can't get final child's PID from pipe: EOF".
restrict_oom_score_adj = true

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "{network.CNI_CONFIG}"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
Root = "{STATE}/runc"
"""


def _kubelet_settings() -> dict[str, object]:
    ca, serving = STATE / "pki" / "ca.crt", _pair("kubelet")
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": ADDRESS,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(ca)},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(serving.certificate),
        "tlsPrivateKeyFile": str(serving.key),
        "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
        "clusterDNS": [ADDRESS],
        "clusterDomain": "cluster.local",
        # An empty one: pods are to behave alike on every machine, whatever its search domains.
        "resolvConf": str(SETTINGS / "resolv.conf"),
        "volumePluginDir": str(STATE / "volume-plugins"),
        "cgroupDriver": "cgroupfs",
        "failSwapOn": False,
        "localStorageCapacityIsolation": False,
        "makeIPTablesUtilChains": False,
        "oomScoreAdj": 0,
        "maxPods": 200,
        # A developer's disk may well be 90 % full; that's no reason to evict pods, nor to drop images nobody can pull.
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {
            "memory.available": "100Mi",
            "nodefs.available": "1%",
            "nodefs.inodesFree": "1%",
            "imagefs.available": "1%",
            "imagefs.inodesFree": "1%",
        },
    }


def _newer_kubelet_settings() -> dict[str, object]:
    return {
        "podLogsDir": str(POD_LOGS),
        "failCgroupV1": False,
        # Tests kill containers again and again, and need not wait ten seconds, then twenty, … for each to come back.
        "featureGates": {"KubeletCrashLoopBackOffMax": True},
        "crashLoopBackOff": {"maxContainerRestartPeriod": "1s"},
    }


def _link_pod_logs() -> None:
    if UNMOVABLE_POD_LOGS.exists():
        raise ClusterError(
            f"{UNMOVABLE_POD_LOGS} is there: another kubelet's, which this one would share, and not leave as it was"
        )
    UNMOVABLE_POD_LOGS.unlink(missing_ok=True)
    UNMOVABLE_POD_LOGS.symlink_to(POD_LOGS)


def _proxy_settings() -> dict[str, object]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "bindAddress": ADDRESS,
        "healthzBindAddress": "127.0.0.1:10256",
        "metricsBindAddress": "127.0.0.1:10249",
        "clientConnection": {"kubeconfig": str(_kubeconfig("kube-proxy"))},
        "clusterCIDR": POD_NETWORK,
        "hostnameOverride": NODE,
        "oomScoreAdj": 0,
        # Zeros: the host's own limits stay as they are.
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
    }


def _corefile() -> str:
    # Two blocks: within one, CoreDNS asks `template` before `kubernetes`, in whatever order they are written.
    return f"""cluster.local:53 in-addr.arpa:53 {{
    bind {ADDRESS}
    errors
    ready 127.0.0.1:18181
    kubernetes cluster.local in-addr.arpa {{
        kubeconfig {KUBECONFIG} llmbatch
        ttl 5
    }}
}}
# Names outside the cluster do not exist, at once and on every machine alike.
.:53 {{
    bind {ADDRESS}
    template ANY ANY {{
        rcode NXDOMAIN
    }}
}}
"""


def _kubeconfig(name: str) -> Path:
    return SETTINGS / f"{name}.kubeconfig"


def _pair(name: str) -> Pair:
    return Pair(STATE / "pki" / f"{name}.crt", STATE / "pki" / f"{name}.key")


def _write(name: str, text: str) -> None:
    (SETTINGS / name).write_text(text)
