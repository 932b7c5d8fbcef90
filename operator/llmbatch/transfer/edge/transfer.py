"""The two transfers, as the transfer Job and the operator's worker threads both run them."""

from llmbatch.provider.edge.files import Progress
from llmbatch.provider.edge.route import Material
from llmbatch.transfer.edge.collect import collect
from llmbatch.transfer.edge.upload import upload

__all__ = ["Material", "Progress", "collect", "upload"]
