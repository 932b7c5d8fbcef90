"""The Grafana dashboard: what makes it, what asks Prometheus all that it asks, and a picture of the answers."""
