"""What `samepage-course` does, one file per topic; see cli."""
