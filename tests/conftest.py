"""One thread a process: small tensors gain nothing from more, and waiting threads cost the others dear."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
