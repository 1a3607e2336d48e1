"""As jupyterhub_config, with GPUs given out on what the node's agent says: as an operator would."""

import os
from pathlib import Path

import hubext

load_subconfig(str(Path(__file__).with_name("jupyterhub_config.py")))  # noqa: F821 - jupyterhub's
c = get_config()  # noqa: F821 - as above

hubext.set_up(
    c,
    cmd=None,
    courses={"": "https://courses.example.org/all.yml"},
    gpus=hubext.Gpus(
        agents=(os.environ["TEST_HUB_AGENT"],),
        token_file=os.environ["TEST_HUB_TOKEN_FILE"],
        default=hubext.GpuProfile(memory="6Gi"),
        budget_seconds=20.0,
    ),
)
