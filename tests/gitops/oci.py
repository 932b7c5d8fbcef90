"""Artifacts in a registry, as `flux push artifact` makes them."""

import hashlib
import io
import json
import tarfile

import httpx

from tests.release.served import Registry

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.cncf.flux.config.v1+json"
_CONTENT = "application/vnd.cncf.flux.content.v1.tar+gzip"


def push(registry: Registry, name: str, tag: str, files: dict[str, str]) -> str:
    """Push files as one artifact under a tag; answers its digest."""
    base = f"http://{registry.host}/v2/{name}"
    with httpx.Client() as http:
        manifest = {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": _push_blob(http, base, _CONFIG, b"{}"),
            "layers": [_push_blob(http, base, _CONTENT, _packed(files))],
        }
        answer = http.put(
            f"{base}/manifests/{tag}", content=json.dumps(manifest).encode(), headers={"Content-Type": _MANIFEST}
        ).raise_for_status()
    return answer.headers["Docker-Content-Digest"]


def _push_blob(http: httpx.Client, base: str, media_type: str, content: bytes) -> dict[str, object]:
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    begun = http.post(f"{base}/blobs/uploads/").raise_for_status()
    place = httpx.URL(begun.headers["Location"]).copy_merge_params({"digest": digest})
    http.put(place, content=content, headers={"Content-Type": "application/octet-stream"}).raise_for_status()
    return {"mediaType": media_type, "size": len(content), "digest": digest}


def _packed(files: dict[str, str]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for path, text in files.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
    return packed.getvalue()
