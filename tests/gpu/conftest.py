"""Processes of pytest-xdist take turns on the GPUs that there are."""

import os

import torch

if torch.cuda.device_count() > 1:
    torch.cuda.set_device(int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % torch.cuda.device_count())
