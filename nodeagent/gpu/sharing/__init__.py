"""Which GPU a notebook gets, and why: a pure decision on measured facts."""
