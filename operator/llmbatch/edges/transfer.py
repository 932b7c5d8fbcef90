"""The two transfers, as the transfer Job and the operator's worker threads both run them."""

from llmbatch.edges.collect import collect
from llmbatch.edges.connection import Material
from llmbatch.edges.files import Progress
from llmbatch.edges.upload import upload

__all__ = ["Material", "Progress", "collect", "upload"]
