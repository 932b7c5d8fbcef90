"""What `make release` does: images, chart and manifest of one version, each checked before it is pushed."""
