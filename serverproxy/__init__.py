"""Web applications behind jupyter-server-proxy: OpenRefine and RStudio.

Start at `serverproxy.catalog.list_apps()` for what the launcher shows, and at `describe()` in
`serverproxy.openrefine` and `serverproxy.rstudio` for what jupyter-server-proxy runs.
Applications know nothing of the lab extension or the node agent.
"""
