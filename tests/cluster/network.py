"""What the embedded cluster changes on the host: one bridge, a few kernel settings, and how to undo both."""

import json
from pathlib import Path

from tests.cluster.paths import STATE
from tests.cluster.shell import ClusterError, run, succeeds

BRIDGE = "llmbatch0"
ADDRESS = "10.244.0.1"
"""The host's address on the bridge, where the API server and DNS listen: pods reach it, other machines don't."""
POD_NETWORK = "10.244.0.0/16"
NODE_NETWORK = "10.244.0.0/24"
SERVICE_NETWORK = "10.96.0.0/16"
API_SERVICE = "10.96.0.1"

CNI_CONFIG = STATE / "cni"
CNI_CACHE = Path("/var/lib/cni")
_KERNEL_BEFORE = STATE / "kernel-settings-before.json"

# What we set, and what the kubelet sets: all are put back by `down`.
_KERNEL_SETTINGS = {
    "net/ipv4/ip_forward": "1",  # pods reach services through the host
    "net/bridge/bridge-nf-call-iptables": "1",  # answers between pods of one bridge find their way back through NAT
    "vm/overcommit_memory": "",  # empty: ours to restore, the kubelet's to set
    "vm/panic_on_oom": "",
    "kernel/panic": "",
    "kernel/panic_on_oops": "",
    "kernel/keys/root_maxkeys": "",
    "kernel/keys/root_maxbytes": "",
}


def up() -> None:
    """Make the bridge, and tell CNI to plug pods into it."""
    if not Path("/sys/class/net", BRIDGE).exists():
        run(["ip", "link", "add", BRIDGE, "type", "bridge"])
        # Without an address of its own a bridge takes the lowest of its ports, and changes it as pods come and go.
        run(["ip", "link", "set", BRIDGE, "address", "02:6c:6c:6d:00:01", "up"])
        run(["ip", "address", "add", f"{ADDRESS}/24", "dev", BRIDGE])
    _set_kernel()
    CNI_CONFIG.mkdir(parents=True, exist_ok=True)
    conflist = {
        "cniVersion": "0.4.0",
        "name": "llmbatch",
        "plugins": [
            {
                "type": "bridge",
                "bridge": BRIDGE,
                "isDefaultGateway": True,
                "hairpinMode": True,
                # No ipMasq: pods reach each other, services and this host, and nothing outside it.
                # A test that would talk to the world fails here instead of depending on it.
                "ipMasq": False,
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{"subnet": NODE_NETWORK}]],
                    "dataDir": str(STATE / "cni-addresses"),
                },
            },
        ],
    }
    (CNI_CONFIG / "10-llmbatch.conflist").write_text(json.dumps(conflist, indent=2))


def down() -> None:
    """Undo `up` and what kube-proxy did."""
    for family in ("ip", "ip6"):
        if succeeds(["nft", "list", "table", family, "kube-proxy"]):
            run(["nft", "delete", "table", family, "kube-proxy"])
    if Path("/sys/class/net", BRIDGE).exists():
        run(["ip", "link", "delete", BRIDGE])
    for result in _cni_results():
        result.unlink()
    for folder in (CNI_CACHE / "results", CNI_CACHE):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
    if _KERNEL_BEFORE.exists():
        for name, value in json.loads(_KERNEL_BEFORE.read_text()).items():
            if _setting(name).read_text() != value:
                _setting(name).write_text(value)


def traces() -> list[str]:
    found = [f"nft table {family} kube-proxy" for family in ("ip", "ip6") if _has_table(family)]
    if Path("/sys/class/net", BRIDGE).exists():
        found.append(f"bridge {BRIDGE}")
    return found + [f"CNI state {path}" for path in _cni_results()]


def _cni_results() -> list[Path]:
    """Return what CNI remembers of our pods, by their network namespaces: the loopback's bear no name of ours."""
    return [path for path in CNI_CACHE.glob("results/*") if str(STATE) in path.read_text(errors="replace")]


def _has_table(family: str) -> bool:
    return succeeds(["nft", "list", "table", family, "kube-proxy"])


def _set_kernel() -> None:
    if not _setting("net/bridge/bridge-nf-call-iptables").exists():
        succeeds(["modprobe", "br_netfilter"])
    if not _setting("net/bridge/bridge-nf-call-iptables").exists():
        raise ClusterError("The kernel has no br_netfilter module, which services need: `modprobe br_netfilter` fails.")
    present = [name for name in _KERNEL_SETTINGS if _setting(name).exists()]
    # Not overwritten: after a crash the values from before the crashed cluster are the ones to go back to.
    if not _KERNEL_BEFORE.exists():
        _KERNEL_BEFORE.write_text(json.dumps({name: _setting(name).read_text() for name in present}))
    for name in present:
        value = _KERNEL_SETTINGS[name]
        if value and _setting(name).read_text().strip() != value:
            _setting(name).write_text(value)


def _setting(name: str) -> Path:
    return Path("/proc/sys") / name
