"""A small zoo of its own, so that these tests do not depend on the real parts."""

from __future__ import annotations

from textwrap import dedent

import pytest

from zoo import registry

HEAD = "from zoo.registry import register\n"
SHELVES = {
    "backbones/sequence.py": """
        @register("backbone", "sequence")
        class Sequence:
            '''Blocks in a row.'''
            def __init__(self, shape, *,
                width: int,  # channels of a token
                depth: int = 4,
                patch: Make[Patch] = "conv",
                mixer: Make[Mixer] | list[Make[Mixer]] = "mamba",
                norm: Make[Norm] = {"use": "layer", "affine": False},
                skip: Make[Skip] = "none",
                scan: Make[Scan] = "raster",
                conditioning: Make[Conditioning] = "default",
                tokens_at: Literal["front", "end"] = "front",
                limit: float | None = None,
            ): ...
        @register("backbone", "convnet")
        def convnet(*, width: int = 8): ...
    """,
    "parts/patch/all.py": """
        @register("patch", "conv")
        def conv(*, size: int = 2, refine: int = 0): ...
        @register("patch", "unfold", aliases=("im2col",))
        def unfold(*, size: int = 4): ...
    """,
    "parts/mixer/all.py": """
        @register("mixer", "mamba")
        def mamba(width, *, state: int = 16, conv: int = 4, dt_min: float = 0.001, directions: list[str] = ["forward"]):
            '''State space.'''
        @register("mixer", "attention")
        def attention(width, *, heads: int = 8, bias: bool = False, conv: int = 0): ...
        @register("mixer", "none")
        def none(width): ...
    """,
    "parts/norm/all.py": """
        @register("norm", "rms")
        def rms(*, eps: float = 1e-5): ...
        @register("norm", "layer")
        def layer(*, eps: float = 1e-5, affine: bool = True): ...
    """,
    "parts/skip/all.py": """
        @register("skip", "none")
        def none(): ...
        @register("skip", "long_concat")
        def long_concat(*, start: int = 1): ...
    """,
    "parts/scan/all.py": """
        @register("scan", "raster")
        def raster(grid): ...
        @register("scan", "four_way")
        def four_way(grid): ...
        @register("scan", "nested")
        def nested(grid, *, inner: Make[Scan] = "nested"): ...
    """,
    "parts/embed/all.py": """
        @register("embed", "table")
        def table(*, classes: int): ...
        @register("embed", "sinusoid")
        def sinusoid(): ...
    """,
    "parts/conditioning.py": """
        @register("conditioning", "default")
        def default(*, tokens: list[str] = [], embed: dict[str, Make[Embed]] = {}): ...
    """,
    "diffusion/process/all.py": """
        @register("process", "vp_sde")
        def vp_sde(*, predict: Literal["eps", "x0", "v"] = "eps", beta_max: float = 20.0): ...
        @register("process", "discrete", aliases=("ddpm",))
        def discrete(*, steps: int = 1000): ...
    """,
    "diffusion/loss/simple.py": "@register('loss', 'simple')\ndef simple(): ...",
    "diffusion/time/uniform.py": "@register('time', 'uniform')\ndef uniform(): ...",
    "diffusion/sampler/all.py": """
        @register("sampler", "euler_maruyama")
        def euler_maruyama(*, steps: int = 1000): ...
        @register("sampler", "euler")
        def euler(*, steps: int = 50): ...
    """,
    "diffusion/guidance/all.py": """
        @register("guidance", "none")
        def none(): ...
        @register("guidance", "cfg")
        def cfg(*, scale: float = 1.5): ...
    """,
    "autoencoders/identity.py": "@register('autoencoder', 'identity')\ndef identity(): ...",
    "data/source/all.py": """
        @register("dataset", "cifar10")
        def cifar10(*, flip: bool = True, labels: list[str] = []): ...
        @register("dataset", "parquet")
        def parquet(*, path: str, flip: bool = False): ...
    """,
    "train/settings.py": """
        @register("train", "default")
        def default(*, steps: int = 1000, batch: int = 128, lr: float = 1e-4, clip: float | None = 1.0,
                    optimizer: Make[Optimizer] = "adamw"): ...
    """,
    "train/optimizer/all.py": """
        @register("optimizer", "adamw")
        def adamw(*, lr: float = 2e-4, betas: list[float] = [0.9, 0.999]): ...
    """,
}

BASE = """\
version: 1
title: A base
shape: [3, 32, 32]
backbone:
  width: 64
  mixer: {use: mamba, conv: 3}
data: {use: cifar10, flip: false}
train: {lr: 2e-4}
ablate:
  skips: {backbone.skip: long_concat}
"""


def forget(monkeypatch):
    """An empty registry for the length of a test."""
    for name, empty in (("_catalog", {}), ("_aliases", {}), ("_scanned", set()), ("problems", [])):
        monkeypatch.setattr(registry, name, empty)
    registry._installed_plugins.cache_clear()
    registry._import.cache_clear()


@pytest.fixture(scope="session")
def package(tmp_path_factory):
    root = tmp_path_factory.mktemp("package")
    for place, text in SHELVES.items():
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).write_text(HEAD + dedent(text))
    return root.resolve()


@pytest.fixture(autouse=True)
def shelf(request, monkeypatch, package, tmp_path):
    """The small zoo in place of the real one, and an empty current folder; not for tests marked `real`."""
    forget(monkeypatch)
    if "real" not in request.fixturenames:
        monkeypatch.setattr(registry, "PACKAGE", package)
        monkeypatch.chdir(tmp_path)
    yield
    registry._installed_plugins.cache_clear()
    registry._import.cache_clear()


@pytest.fixture
def real():
    """Ask for it to see the real shelves and recipes."""


@pytest.fixture
def write(tmp_path):
    """write(name, text) -> path of a new file."""

    def put(name, text):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text))
        return path

    return put


@pytest.fixture
def base(write):
    """The path of a small, right recipe."""
    return write("base.yaml", BASE)
