"""The demo: a git server, the node agent and JupyterLab with the bundle, by one command."""
