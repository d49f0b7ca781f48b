"""Images in parquet files, as Hugging Face data sets are published."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from zoo.data.parquet_rows import ParquetRows
from zoo.data.pictures import Pictures, chosen
from zoo.data.protocols import Split
from zoo.registry import register


@register("dataset", "parquet")
class Parquet(Pictures):
    """Parquet files with an image column, as on the Hugging Face hub; needs pyarrow.

    RGB uint8 of the recipe's size. Files named train, and val or test, are the splits.

    Raises: DataError if pyarrow, the files or a column are missing.
    """

    def __init__(
        self,
        size: tuple[int, int],
        split: Split,
        *,
        path: str,  # of a file or of a folder of files
        labels: list[str] = ["label"],  # what the model is told; [] for nothing
        image: str | None = None,  # column of the images; None finds image, img, ...
        label: str | None = None,  # column of the classes, numbers or words; None finds label, fine_label, ...
        fit: Literal["crop", "resize", "pad"] = "crop",  # keep the middle, distort, or add white
        bad: Literal["raise", "skip"] = "raise",  # what to do about images that cannot be read
        holdout: float = 0.05,  # share that is held out where no file is named val or test
    ):
        rows = ParquetRows(Path(path).expanduser(), split, image, label, holdout, labelled=bool(labels))
        classes = chosen(labels, {"label": rows.classes} if rows.classes else {}, "data.labels")
        super().__init__(rows.names, rows.read, {name: rows.numbers for name in classes}, classes,
                         size=size, fit=fit, bad=bad)  # fmt: skip
