"""Samepage in The Littlest JupyterHub: a file of /opt/tljh/config/jupyterhub_config.d/.

See docs/operators/plain-host.md. Then: sudo tljh-config reload
"""

c = get_config()  # noqa: F821 - the hub defines it when it reads this file

# In place of jupyterhub-singleuser: the same, opted in to merging and, where it can, aligned.
c.Spawner.cmd = ["/opt/tljh/user/bin/samepage-singleuser"]
c.Spawner.environment.update(
    {
        # The courses of everybody on this machine (docs/courses/manifest.md).
        "SAMEPAGE_COURSES": "/etc/samepage/samepage-course.yml",
        # The cache of samepage-courses.service. Without that service: no harm.
        "SAMEPAGE_COURSE_CACHE": "/var/cache/samepage/courses",
    }
)
