"""An image's software bill of materials, in CycloneDX's JSON."""

import uuid

from cyclonedx.factory.license import LicenseFactory
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

from tests.cluster import ClusterError
from tests.release.images import Pushed
from tests.release.packages import Package
from tests.release.source import Source

SCHEMA = SchemaVersion.V1_6
OWN = "llmbatch"


def text(image: Pushed, source: Source, version: str) -> str:
    """Write the bill of an image; the same image has the same."""
    whole = Component(
        name=image.repository,
        version=version,
        type=ComponentType.CONTAINER,
        bom_ref="image",
        purl=PackageURL(
            "oci", None, image.built.name, image.digest, {"repository_url": image.repository, "tag": version}
        ),
    )
    parts = [_component(package) for package in image.built.packages]
    bom = Bom(
        serial_number=uuid.uuid5(uuid.NAMESPACE_URL, f"oci://{image.repository}@{image.digest}"),
        metadata=BomMetaData(component=whole, timestamp=source.committed),
        components=parts,
    )
    bom.register_dependency(whole, parts)
    made = make_outputter(bom, OutputFormat.JSON, SCHEMA).output_as_string(indent=2)
    if complaint := invalid(made):
        raise ClusterError(
            f"The bill of materials of {image.built.name} is not as CycloneDX {SCHEMA.to_version()} wants it: {complaint}"
        )
    return made + "\n"


def invalid(document: str) -> str:
    """Hold a document against CycloneDX's own schema; say what is wrong."""
    found = JsonStrictValidator(SCHEMA).validate_str(document)
    return str(found) if found is not None else ""


def _component(package: Package) -> Component:
    found = _url(package)
    return Component(
        name=package.name,
        version=package.version,
        type=ComponentType.LIBRARY,
        bom_ref=f"{package.kind}:{package.name}@{package.version}:{package.architecture}",
        # Our own is in no index: what has its name there would be somebody else's.
        purl=None if package.kind == "pypi" and package.name == OWN else found,
        licenses=[LicenseFactory().make_from_string(package.license)] if package.license else None,
    )


def _url(package: Package) -> PackageURL:
    if package.kind == "pypi":
        return PackageURL("pypi", None, package.name, package.version)
    qualifiers = {"arch": package.architecture, "distro": package.suite}
    return PackageURL("deb", "debian", package.name, package.version, {k: v for k, v in qualifiers.items() if v})
