"""llmbatch: large LLM batches as Kubernetes objects."""

__version__ = "0.1.0"
