"""Every block of README and docs does what the page says, at small size."""

from __future__ import annotations

import io
import shutil
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from blocks import ROOT, blocks, command_lines, pages
from safetensors.torch import load_file
from small import NOT_RUN, TINY, Why, pictures, small
from story import Story, entry

FIXTURE = ROOT / "tests/parity/fixtures/dim/uncond_lateral_5x5.safetensors"
RUN = {"bash", "python", "yaml", "text"}
LANGUAGES = RUN | {"toml", ""}


def published() -> dict[str, torch.Tensor]:
    """A small state dict under the published names of DiM."""
    return {k.removeprefix("state."): v for k, v in load_file(FIXTURE).items() if k.startswith("state.")}


def tensors() -> dict[str, object]:
    """What the Python of README takes for granted."""
    B, L, E, N = 2, 9, 8, 4
    return {
        "x": torch.randn(1, 3, 32, 48), "t": torch.tensor([500.0]), "order": torch.randperm(L).int(),
        "state_dict": published(), "u": torch.randn(B, L, E), "dt": torch.randn(B, L, E), "A": -torch.rand(E, N),
        "B": torch.randn(B, L, N), "C": torch.randn(B, L, N),
    }  # fmt: skip


def png(i: int) -> bytes:
    """One picture."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(np.full((32, 32, 3), 40 * i, np.uint8)).save(file, "png")
    return file.getvalue()


def with_parquet(folder) -> None:
    """README's my/data: four pictures, in the Hugging Face layout."""
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    (folder / "my/data").mkdir(parents=True)
    for split in ("train", "test"):
        rows = [{"image": {"bytes": png(i), "path": None}, "label": i % 2} for i in range(4)]
        pq.write_table(pa.Table.from_pylist(rows), folder / f"my/data/{split}.parquet")


def with_published(folder) -> None:
    """The checkpoint of the tutorial."""
    torch.save(published(), folder / "nnet_ema.pth")


def with_samples(folder) -> None:
    """Two runs, one of them measured, and two folders of pictures, for zoo-eval."""
    for run in ("runs/a", "runs/b"):
        shutil.copytree(folder / "runs/quickstart", folder / run)
    (folder / "samples").mkdir()
    pictures(folder / "samples/a"), pictures(folder / "pictures")
    words = small(["zoo-eval", "runs/b"])
    assert isinstance(words, Why) or entry("zoo-eval")(words) == 0


def with_clips(folder) -> None:
    """Two videos in the place of UCF-101, and an autoencoder of one layer."""
    from PIL import Image

    for name in ("jump", "run"):
        (folder / "UCF-101" / name).mkdir(parents=True)
        first, *others = [Image.open(io.BytesIO(png(i))) for i in range(6)]
        first.save(folder / f"UCF-101/{name}/1.gif", save_all=True, append_images=others)
    if find_spec("diffusers") is None:
        return
    from diffusers import AutoencoderKL

    AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(4, 4), layers_per_block=1, latent_channels=4, norm_num_groups=2,
    ).save_pretrained(folder / "vae")  # fmt: skip


SCENES = {"README.md": with_parquet, "docs/video.md": with_clips, "docs/eval.md": with_samples,
          "docs/tutorials/checkpoints.md": with_published}  # fmt: skip
MAKES_ITS_OWN = ("docs/tutorials/tour.md",)
"""Pages that train runs/quickstart themselves."""


@pytest.mark.parametrize("page", [p for p in pages() if {b.language for b in blocks(p)} & RUN])
def test_a_page_does_what_it_says(page, folder, tiny_run, record_property):
    if page not in MAKES_ITS_OWN:
        shutil.copytree(tiny_run, folder / "runs/quickstart")
    if page in SCENES:
        SCENES[page](folder)
    story = Story(page, folder, tensors() if page == "README.md" else {})
    story.run()
    for line, why in story.left_out.items():  # pytest -rP shows them
        record_property(line, str(why))  # plain: reports travel between processes
        print(f"not run: {line}: {why}")


def test_every_block_says_its_language():
    assert not [str(b) for p in pages() for b in blocks(p) if b.language not in LANGUAGES]


def test_every_exception_is_still_needed():
    lines = [line for page in pages() for b in blocks(page) if b.language == "bash" for line in command_lines(b)]
    used = {prefix for prefix in NOT_RUN if any(line.startswith(prefix) for line in lines)}
    elsewhere = {"pip install", "zoo-sample hf-hub:"}  # only in scripts and other pages yet
    assert set(NOT_RUN) - used <= elsewhere


def test_the_quickstart_leaves_what_it_promises(tiny_run):
    names = {str(p.relative_to(tiny_run)) for p in tiny_run.rglob("*")}
    step = "checkpoints/step-00000002"
    assert {"recipe.yaml", "metrics.jsonl", "metrics.csv", "loss.png", "samples/strip.png", "index.html",
            f"{step}/model.safetensors", f"{step}/ema.safetensors", f"{step}/optim.safetensors",
            f"{step}/MANIFEST.json"} <= names  # fmt: skip


def test_the_part_of_the_readme_trains_as_a_plug_in(folder):
    source = next(b.text for b in blocks("README.md") if "@zoo.register" in b.text)
    (folder / "backwards.py").write_text(source)
    (folder / "mine.yaml").write_text("extends: quickstart\nplugins: [backwards.py]\nbackbone: {scan: backwards}\n")
    assert entry("zoo-train")(["mine.yaml", "--out", "runs/mine", *TINY]) == 0


def test_the_example_of_an_own_loop_learns_and_draws(folder, capsys):
    import runpy

    torch.manual_seed(0)
    example = ROOT / "docs/examples/own_loop.py"
    runpy.run_path(str(example), run_name="__main__")
    losses = [float(line.split()[-1]) for line in capsys.readouterr().out.splitlines() if line.startswith("step")]
    assert len(losses) == 20 and losses[-1] < losses[0]
    assert (folder / "own_loop.png").exists()
    assert len(example.read_text().splitlines()) <= 42
