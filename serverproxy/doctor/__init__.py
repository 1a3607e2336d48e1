"""What `samepage-apps` tells about each application: values, then text.

Imports nothing of Jupyter; entries of third parties are loaded only when they are asked about.
"""
