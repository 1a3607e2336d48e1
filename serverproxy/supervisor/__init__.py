"""Keeps web applications running: start, readiness, idling, stop, and nothing left behind.

Knows processes, sockets and files, and neither Jupyter nor tornado.
Start at `supervisor.Supervisor`.

Pure: state, spec, environment, backoff, idle, exits, hints, members.
Edges: processes, tracker, ending, registry, runtime, sweep, child, listeners, ownership, probe,
output_log, oom, memory, start_times, guard, gate. `app` and `supervisor` put them together.
Nothing is imported here, because the guardian process imports this package and must stay small.
"""
