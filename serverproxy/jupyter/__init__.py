"""Takes over the routes of jupyter-server-proxy for applications we supervise.

Start at `takeover.install`. `entry` turns a jupyter-server-proxy entry into a launch;
`http_handler`, `socket_handler` and `raw_handler` carry requests; `start_page` is what people see
meanwhile. Pure: credentials, headers, locations, activity.
"""
