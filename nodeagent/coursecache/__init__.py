"""Git objects of the courses, fetched once for all notebooks of this node."""
