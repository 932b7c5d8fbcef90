"""The project's two images: built if their inputs changed, and put where the cluster's nodes find them."""

import os
import tempfile
from pathlib import Path

from tests.cluster import base_image, buildah, embedded, kind
from tests.cluster.model import Cluster
from tests.cluster.paths import CACHE, LOADED_IMAGES, REPOSITORY, content_hash
from tests.cluster.shell import ClusterError, run, say, step

OPERATOR = os.environ.get("LLMBATCH_IMAGE", "localhost/llmbatch:dev")
EMULATOR = os.environ.get("LLMBATCH_EMULATOR_IMAGE", "localhost/llmbatch-emulator:dev")
SHELL = "busybox:1.37.0"
"""What the examples' own pods run: public, so that they can be applied as they are wherever a registry can be reached."""

_INPUTS = [
    REPOSITORY / name
    for name in (
        "Dockerfile",
        ".dockerignore",
        "README.md",
        "operator",
        "pyproject.toml",
        "tests/__init__.py",
        "tests/cluster/image-requirements.txt",
        "tests/emulator",
    )
]


def need_names() -> None:
    """Refuse to go on with a cluster that pulls its images while nobody has said which."""
    missing = [name for name in ("LLMBATCH_IMAGE", "LLMBATCH_EMULATOR_IMAGE") if name not in os.environ]
    if missing:
        raise ClusterError(
            f"This cluster pulls images from a registry, and {' and '.join(missing)} do not say which. Once, with a registry "
            "that it reaches:\n"
            "  docker build --target operator -t REGISTRY/llmbatch:dev . && docker push REGISTRY/llmbatch:dev\n"
            "  docker build --target emulator -t REGISTRY/llmbatch-emulator:dev . && docker push REGISTRY/llmbatch-emulator:dev\n"
            "  export LLMBATCH_IMAGE=REGISTRY/llmbatch:dev LLMBATCH_EMULATOR_IMAGE=REGISTRY/llmbatch-emulator:dev"
        )


def build_images(cluster: Cluster) -> None:
    """Make the cluster's nodes hold images of the sources as they are now."""
    if cluster.kind == "embedded":
        _into_embedded()
    elif cluster.kind == "kind":
        _into_kind()
    else:
        say(
            f"  Images: this cluster pulls them from a registry. Push {OPERATOR} and {EMULATOR} to one that it reaches, "
            "under names that you give in LLMBATCH_IMAGE and LLMBATCH_EMULATOR_IMAGE."
        )


def _into_embedded() -> None:
    wanted = content_hash(_INPUTS, salt=base_image.NAME)
    held = embedded.containerd("images", "list", "-q").split()
    # containerd puts the name of the public registry before a name without one.
    there = {OPERATOR, EMULATOR} <= set(held) and any(name.endswith(f"/{SHELL}") for name in held)
    if there and LOADED_IMAGES.exists() and LOADED_IMAGES.read_text() == wanted:
        say("  Images: the cluster holds them as the sources are now")
        return
    base = base_image.ensure()
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        for target, image in {"operator": OPERATOR, "emulator": EMULATOR}.items():
            archive = Path(folder) / f"{target}.tar"
            with step(f"Image: building {image}", about="10 s, the first time 1 minute"):
                buildah.build(target, image, base)
            with step(f"Image: loading {image} into the node", about="5 s"):
                buildah.export(image, archive)
                embedded.containerd("images", "import", archive)
        # The node reaches no registry. Ours has a shell too, and stands in for what the examples name.
        archive = Path(folder) / "shell.tar"
        buildah.export(OPERATOR, archive, name=SHELL)
        embedded.containerd("images", "import", archive)
    LOADED_IMAGES.write_text(wanted)


def _into_kind() -> None:
    # Docker keeps the layers, and kind loads nothing that its nodes have: no bookkeeping of ours is needed.
    for target, image in {"operator": OPERATOR, "emulator": EMULATOR}.items():
        with step(f"Image: building {image}", about="10 s, the first time 1 minute"):
            run(["docker", "build", "--quiet", f"--target={target}", f"--tag={image}", "."], cwd=REPOSITORY)
        with step(f"Image: loading {image} into the nodes", about="10 s"):
            run(["kind", "load", "docker-image", f"--name={kind.NAME}", image])
