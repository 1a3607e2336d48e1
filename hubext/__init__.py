"""What JupyterHub gains: notebook servers set up for Samepage, GPUs given out on evidence.

import hubext
hubext.set_up(c, gpus=hubext.Gpus(agents=("http://samepage-agent-gpus.samepage.svc:9747",)))
"""

from hubext.settings import GpuProfile, Gpus, Published
from hubext.setup import set_up

__all__ = ["GpuProfile", "Gpus", "Published", "set_up"]
