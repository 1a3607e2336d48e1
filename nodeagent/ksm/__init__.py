"""Kernel samepage merging: facts, decision, act."""
