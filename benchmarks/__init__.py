"""Measurements with targets: `python -m benchmarks.<name>` prints a table, writes docs/benchmarks.

Each page says on which machine, when and with which command it was made.
"""
