"""The site that `make docs-site` builds of docs/."""
