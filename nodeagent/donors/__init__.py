"""Processes of the node that own the pages a class has in common."""
