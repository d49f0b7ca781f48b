"""Any optimizer by name: it learns, and what it remembers survives a checkpoint bit for bit."""

from __future__ import annotations

import pytest
import torch
from tiny_runs import losses, same, tensors, trained

from zoo.errors import CheckpointError, RecipeError
from zoo.train.parallel import keep_dear
from zoo.train.step import Objective

NAMES = ["{use: torch, name: SGD, lr: 0.1, options: {momentum: 0.9}}", "{use: torch, name: NAdam}",
         "{use: torch, name: Adafactor, lr: 0.01}", "{use: torch, name: Adamax, lr: 0.01}",
         "{use: timm, name: lion, lr: 3.0e-4}", "{use: timm, name: lamb, lr: 0.01}",
         "{use: timm, name: muon, lr: 0.01}",
         "{use: timm, name: adamw, options: {betas: [0.9, 0.95]}}"]  # fmt: skip


@pytest.mark.parametrize("optimizer", NAMES)
def test_an_optimizer_by_name_learns_and_resumes_exactly(tiny, tmp_path, stop_at, optimizer):
    recipe = tiny(f"train.optimizer={optimizer}", "train.steps=10", "train.log_every=5", "train.ema=[]")
    trained(recipe, tmp_path / "whole")
    stop_at(4)
    trained(recipe, tmp_path / "parts")
    trained(recipe, tmp_path / "parts", resume=True)
    assert same(tensors(tmp_path / "whole", 10), tensors(tmp_path / "parts", 10))
    curve = [record["loss"] for record in losses(tmp_path / "whole")]
    assert curve == [record["loss"] for record in losses(tmp_path / "parts")] and curve[1] < curve[0]


@pytest.mark.parametrize(("optimizer", "message"), [
    ("{use: torch, name: SDG}", "did you mean 'SGD'"), ("{use: timm, name: loin}", "did you mean 'lion'"),
    ("{use: torch, name: SGD, options: {mometum: 0.9}}", "mometum"),
    ("{use: timm, name: lion, options: {batas: [0.9, 0.9]}}", "batas"), ("{use: torch, name: LBFGS}", "LBFGS"),
    ("{use: torch, name: SparseAdam}", "SparseAdam"), ("{use: timm, name: adahessian}", "adahessian"),
    ("{use: torch, name: Rprop, weight_decay: 0.1}", "weight_decay"),
])  # fmt: skip
def test_mistakes_about_optimizers_are_named(tiny, tmp_path, optimizer, message):
    with pytest.raises(RecipeError, match=message):
        trained(tiny(f"train.optimizer={optimizer}", "train.steps=1"), tmp_path)


def test_an_optimizer_that_knows_no_weight_decay_is_not_given_any(tiny, tmp_path):
    assert "finished 2" in trained(tiny("train.optimizer={use: torch, name: Rprop}", "train.steps=2"), tmp_path)


def test_an_optimizer_that_cannot_be_saved_is_refused_after_one_update(tiny, tmp_path, monkeypatch):
    plain, steps = torch.optim.SGD.step, []

    def step(self):
        steps.append(plain(self))
        for parameter in self.param_groups[0]["params"]:
            self.state[parameter]["factors"] = [torch.ones(2)]

    monkeypatch.setattr(torch.optim.SGD, "step", step)
    with pytest.raises(CheckpointError, match=r"SGD keeps a list as 'factors'.*use another optimizer"):
        trained(tiny("train.optimizer={use: torch, name: SGD}", "train.steps=20"), tmp_path)
    assert len(steps) == 1


@pytest.mark.parametrize(("mode", "precision"), [("block", "bf16"), ("selective", "bf16"), ("block", "fp32")])
def test_recomputation_changes_no_bit(tiny, tmp_path, mode, precision):
    for name in ("none", mode):
        trained(tiny(f"train.recompute={name}", "train.steps=4", f"train.precision={precision}"), tmp_path / name)
    assert same(tensors(tmp_path / "none", 4), tensors(tmp_path / mode, 4))


@pytest.fixture
def kept(tiny):
    """Bytes that a forward pass keeps for backward."""
    from torch.autograd.graph import saved_tensors_hooks

    from zoo.builder import section
    from zoo.train.feed import Feed
    from zoo.train.ranks import Ranks
    from zoo.train.state import State

    def measure(mode: str) -> int:
        recipe, alone = tiny(f"train.recompute={mode}", "backbone.depth=7"), Ranks(torch.device("cpu"))
        settings = section(recipe, "train")()
        state = State.start(recipe, settings, alone)
        batch, objective = next(Feed(recipe, settings, alone).batches(0)), Objective(recipe, state.backbone, "fp32")
        sizes = {}

        def pack(tensor):
            sizes[tensor.data_ptr()] = tensor.numel() * tensor.element_size()
            return tensor

        with saved_tensors_hooks(pack, lambda tensor: tensor):
            objective(batch.images, batch.labels, objective.draw(batch.images, 1, 0, 0.0)).sum()
        return sum(sizes.values())

    return measure


def test_recomputation_keeps_less(kept):
    assert kept("block") < 0.8 * kept("none")


def test_selective_recomputation_keeps_scans_and_products():
    from torch.utils.checkpoint import CheckpointPolicy

    import zoo.ops.selective_scan

    assert zoo.ops.selective_scan
    keeps = lambda op: keep_dear(None, op) is CheckpointPolicy.MUST_SAVE  # noqa: E731
    assert keeps(torch.ops.aten.mm.default) and keeps(torch.ops.zoo.selective_scan.default)
    assert not keeps(torch.ops.aten.silu.default) and not keeps(torch.ops.aten.mul.Tensor)


@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.long)])
def test_compiled_blocks_train_alike(tiny, tmp_path, monkeypatch, backend):
    plain = torch.compile
    monkeypatch.setattr(torch, "compile", lambda f: plain(f, backend=backend))
    for name in ("false", "true"):
        trained(tiny(f"train.compile={name}", "train.steps=4", "train.recompute=selective"), tmp_path / name)
    curves = [[record["loss"] for record in losses(tmp_path / name)] for name in ("false", "true")]
    assert curves[0] == pytest.approx(curves[1], rel=1e-5)
