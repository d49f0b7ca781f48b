from __future__ import annotations

from pathlib import Path

from zoo.errors import BackendError
from zoo.loggers.protocol import Record
from zoo.registry import register


@register("logger", "tensorboard")
class TensorBoard:
    """Scalars for TensorBoard, in `tensorboard/` of the run folder."""

    def __init__(self, folder: Path, start: int, *, folder_name: str = "tensorboard"):
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise BackendError("tensorboard is not installed", where="train.loggers",
                               fix="pip install tensorboard, or leave this logger out") from None
        self.writer = SummaryWriter(str(folder / folder_name), purge_step=start + 1 if start else None)

    def log(self, step: int, record: Record) -> None:
        """Each number under its own name."""
        for name, value in record.items():
            self.writer.add_scalar(name, value, step)

    def close(self) -> None:
        self.writer.close()
