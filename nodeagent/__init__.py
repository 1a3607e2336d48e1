"""Samepage node agent: tunes KSM, watches GPUs, tells a node's memory story on loopback."""

__version__ = "0.1.0"
