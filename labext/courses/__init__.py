"""Courses: folders that keep up with a git repository and keep what a student wrote."""
