"""Kernels that opt in to kernel same-page merging (KSM), and fall back to stock when they cannot.

Parts: `provisioner` (starts kernels), `launch` and `boot` (run inside the new process),
`switch` and `command` (pure decisions), `default` (makes the provisioner the default one),
`support`, `merged`, `ledger` and `status` (what happened, for people).
"""
