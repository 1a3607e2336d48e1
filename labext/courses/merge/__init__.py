"""Three-way merges of one file: what was delivered, the student's, the course's."""
