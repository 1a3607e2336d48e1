"""The agent's HTTP face: read-only, this machine only unless asked."""
