"""The GPU facts of many nodes, for who decides over them: hub and scheduler."""
