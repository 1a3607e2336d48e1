"""The reader: sees the students' processes, and tells one tuner about them over a Unix socket."""
