"""Can an application run here, and if not, what has to be installed?

`openrefine.judge` and `rstudio.judge` are pure over facts; `look` in the same modules gathers the
facts. Looking reads files and may run `java -version` or `rserver --help` (cached until the program
changes): call it in a thread.
"""
