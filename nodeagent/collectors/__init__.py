"""What Prometheus sees: one file per topic, prefix `samepage_`."""
