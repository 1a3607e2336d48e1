"""Which container or pod a process belongs to."""
