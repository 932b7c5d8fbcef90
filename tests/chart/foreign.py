"""JSON schemas of other projects' custom resources that our manifests make: Kong's, the Gateway API's, the Prometheus
Operator's. Their definitions come from their Go modules, pinned in definitions/go.mod."""

from pathlib import Path

from tests.chart import schemas
from tests.cluster.gobuild import module_folder, need_go
from tests.cluster.paths import CACHE, alone, content_hash, made_whole

SOURCE = Path(__file__).with_name("definitions")

MODULES = {
    "github.com/kong/kubernetes-configuration": "config/crd/ingress-controller",
    "github.com/prometheus-operator/prometheus-operator": "example/prometheus-operator-crd",
    "sigs.k8s.io/gateway-api": "config/crd/standard",
}


def schemas_of_others() -> Path:
    """Give the folder with their schemas; made once, then kept in the cache."""
    folder = CACHE / f"schemas-others-{content_hash([SOURCE, Path(__file__), Path(schemas.__file__)])}"
    if not folder.is_dir():
        with alone("schemas-others", "another run that makes these schemas"):
            if not folder.is_dir():
                _make(folder)
    return folder


def definitions(module: str) -> list[Path]:
    """Give the files with the custom resource definitions of a module."""
    need_go("No definitions of other projects' custom resources, which are fetched as Go modules")
    found = sorted((module_folder(SOURCE, module) / MODULES[module]).glob("*.yaml"))
    return [path for path in found if path.name != "kustomization.yaml"]


def _make(folder: Path) -> None:
    with made_whole(folder) as unfinished:
        for module in MODULES:
            schemas.write_definitions(definitions(module), unfinished)
