"""The Grafana dashboards of deploy/dashboards, written by `make dashboards`."""
