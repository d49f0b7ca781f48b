# pyright: reportAttributeAccessIssue=false
# The library has the name of this file.

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import Literal

from zoo.errors import BackendError
from zoo.loggers.protocol import Record
from zoo.registry import register

IDENTITY = "wandb.json"


@register("logger", "wandb")
class WandB:
    """Weights & Biases, in `wandb/` of the run folder; a run that continues goes on in the same one.

    `offline` writes files that `wandb sync` uploads later. The recipe is the run's configuration.
    """

    def __init__(
        self,
        folder: Path,
        start: int,
        *,
        project: str = "backbone-zoo",
        mode: Literal["online", "offline"] = "offline",
    ):
        try:
            import wandb
        except ImportError:
            raise BackendError("wandb is not installed", where="train.loggers",
                               fix="pip install wandb, or leave this logger out") from None
        import yaml

        place = folder / IDENTITY
        known = json.loads(place.read_text())["id"] if start and place.exists() else secrets.token_hex(4)
        recipe = folder / "recipe.yaml"
        config = yaml.safe_load(recipe.read_text(encoding="utf-8")) if recipe.exists() else {}
        self.run = wandb.init(project=project, mode=mode, id=known, name=folder.name, dir=str(folder), config=config,
                              resume="allow", settings=wandb.Settings(console="off", silent=True))  # fmt: skip
        self.run.define_metric("*", step_metric="step")  # its own counter refuses steps that come again
        place.write_text(json.dumps({"id": known, "project": project}))

    def log(self, step: int, record: Record) -> None:
        """Each number under its own name."""
        self.run.log({"step": step, **record})

    def close(self) -> None:
        """Write what is still on its way."""
        self.run.finish()
