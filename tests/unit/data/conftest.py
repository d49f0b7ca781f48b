"""A folder of images for the sources."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_images import png


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """60 images in the classes cat and dog."""
    root = tmp_path / "pictures"
    for i in range(60):
        file = root / ("cat", "dog")[i % 2] / "deeper" / f"{i:03}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(png(i))
    return root
