"""The aligned start: what runs inside a kernel before the kernel's own program does.

This folder runs in the *kernel's* Python (3.9 or later), which need not have Samepage installed:
standard library only, nothing imported from outside this folder. `start.py` is the script; it
loads this package under the name `_samepage_aligned` and calls `life.main`.

Order of events: import what every kernel of a class has in common, in surroundings that are the
same for everybody (`preload`, `shelf`, `seal`, `fingerprint`), say ready, wait for the assignment
(`channel`), and only then become the kernel of one student (`student`, `outside`, `repairs`).
`attendant` looks after the running kernel.
"""
