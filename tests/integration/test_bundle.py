"""The bundle beside a Jupyter that knows nothing of it, without containers.

test_containers_bundle.py does the same with the real images.
"""
