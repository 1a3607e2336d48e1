"""The Kubernetes API, for parts that are allowed to use it."""
