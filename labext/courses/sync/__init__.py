"""Pulls that compare states: what was delivered, what is on disk, what the course is now."""
