"""Training through CUDA graphs: the bits of training without, on every path; and how it does without when it must."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from zoo.bench.training import made_up
from zoo.builder import section
from zoo.data.loader import Batch
from zoo.recipe import Recipe, load_recipe
from zoo.train.feed import Feed
from zoo.train.graphed import WARM
from zoo.train.guard import Guard, NonFiniteError
from zoo.train.loop import replay, train
from zoo.train.precision import configure
from zoo.train.ranks import Ranks
from zoo.train.state import State
from zoo.train.step import Objective, Update
from zoo.weights.file import read_weights

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]
GPU = torch.device("cuda")
TINY = ["backbone.width=64", "backbone.depth=5", "shape=[3,16,16]", "train.batch=12", "train.precision=bf16",
        "train.warmup=0", "train.clip=1.0", "train.ema=[0.9,0.99]", "train.deterministic=true"]  # fmt: skip
UPDATES = WARM + 5
LOOKING = ["train.workers=0", "train.log_every=1", "train.val_every=4", "train.preview_every=0"]


@pytest.fixture(autouse=True)
def as_before():
    yield
    torch.use_deterministic_algorithms(False)
    torch.compiler.reset()


def assembled(*settings: str, name: str = "dim_s_cifar") -> tuple[Recipe, State, Update, list[str]]:
    recipe, said = load_recipe(name, [*TINY, *settings]), []
    choices = section(recipe, "train")()
    configure(GPU, choices.precision, choices.deterministic)
    state = State.start(recipe, choices, Ranks(GPU))
    objective = Objective(recipe, state.backbone, choices.precision)
    return recipe, state, Update(objective, choices, Guard(choices.nonfinite, GPU), said.append), said


def batches(recipe: Recipe, state: State, count: int = UPDATES) -> Iterator[Batch]:
    for k in range(count):
        batch, chance = made_up(recipe, state, state.batch, GPU), torch.Generator(GPU).manual_seed(k)
        images = torch.randn(batch.images.shape, generator=chance, device=GPU).clamp(-1, 1)
        yield batch._replace(images=images, first=k * state.batch)


def learned(*settings: str, name: str = "dim_s_cifar") -> tuple[dict[str, Tensor], int]:
    """Losses, weights, averages and the optimizer's state; the number of graphs."""
    recipe, state, update, said = assembled(*settings, name=name)
    found: dict[str, Tensor] = {}
    for k, batch in enumerate(batches(recipe, state)):
        update(state, batch)
        found[f"loss {k}"] = torch.tensor(state.meter.read().get("loss", torch.nan))
    found |= {f"{f}:{n}": t.clone() for f, tensors in state.files().items() for n, t in tensors.items()}
    assert not said
    return found, len(update.through(state).graphs)


def unequal(a: dict[str, Tensor], b: dict[str, Tensor]) -> list[str]:
    return [n for n in a if not torch.allclose(a[n], b[n], rtol=0, atol=0, equal_nan=True)]


@pytest.mark.parametrize(("settings", "graphs"), [
    ([], 1), (["train.micro_batch=4"], 2), (["train.micro_batch=5"], 3), (["train.clip=null"], 1),
    (["train.label_dropout=0.3"], 1), (["train.recompute=block"], 1), (["train.precision=fp16"], 1),
    (["train.recompute=selective", "train.micro_batch=6"], 2), (["train.precision=fp32"], 1),
], ids=lambda value: " ".join(value) if isinstance(value, list) else "")  # fmt: skip
def test_a_graph_leaves_every_bit_as_it_is(settings, graphs):
    ours, made = learned(*settings)
    plain, none = learned(*settings, "train.cuda_graph=false")
    assert (made, none) == (graphs, 0) and not unequal(ours, plain)


@pytest.mark.parametrize("settings", [[], ["train.recompute=block"], ["train.micro_batch=4"]], ids=" ".join)
def test_compiled_blocks_are_captured_too(settings):
    ours, made = learned("train.compile=true", *settings)
    plain, _ = learned("train.compile=true", *settings, "train.cuda_graph=false")
    assert made
    for name in unequal(ours, plain):  # compiled twice, kernels may be tuned differently
        assert (ours[name] - plain[name]).norm() <= 1e-3 * plain[name].norm().clamp_min(1e-6), name


def test_networks_with_attention_are_captured_too():
    settings = ["backbone.mixer.heads=2"]
    ours, made = learned(*settings, name="uvit_s_cifar")
    assert made and not unequal(ours, learned(*settings, "train.cuda_graph=false", name="uvit_s_cifar")[0])


def test_a_resumed_run_equals_one_that_never_stopped(tmp_path):
    def go(folder: str, steps: int, **options) -> dict[str, Tensor]:
        recipe = load_recipe("quickstart", [*TINY, *LOOKING, "train.cuda_graph=true", f"train.steps={steps}"])
        train(recipe, tmp_path / folder, device="cuda", **options)
        files = sorted((tmp_path / folder / f"checkpoints/step-{steps:08d}").glob("*.safetensors"))
        return {f"{f.stem}:{n}": t.clone() for f in files for n, t in read_weights(f).tensors.items()}

    go("parts", 8)
    assert not unequal(go("whole", 16), go("parts", 16, resume=True))


def test_replays_never_wait_for_the_device():
    recipe, state, update, _ = assembled("train.micro_batch=4")
    every = list(batches(recipe, state))
    for batch in every[: WARM + 1]:
        update(state, batch)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for batch in every[WARM + 1 :]:
            update(state, batch)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert len(update.through(state).graphs) == 2


def test_a_batch_of_another_size_runs_as_usual():
    recipe, state, update, _ = assembled()
    every = list(batches(recipe, state))
    for batch in every[:-1]:
        update(state, batch)
    loss = update.gradients(state, every[-1].rows(slice(7)))
    gradients = [p.grad for p in state.parameters if p.grad is not None]
    state.optimizer.zero_grad(set_to_none=True)
    update.through(state).refused = "asked to"
    assert torch.equal(loss, update.gradients(state, every[-1].rows(slice(7))))
    assert all(map(torch.equal, gradients, [p.grad for p in state.parameters if p.grad is not None]))


def test_numbers_that_are_not_finite_stay_out_and_their_place_is_named():
    recipe, state, update, _ = assembled(name="quickstart")
    *good, bad = batches(recipe, state)
    for batch in good:
        update(state, batch)
    before = [p.detach().clone() for p in state.parameters]
    bad.images[3] = torch.nan
    update(state, bad)
    assert all(map(torch.equal, before, state.parameters))
    with pytest.raises(NonFiniteError, match="update 7"):
        update.guard.check(lambda step: f"update {step}")
    with torch.no_grad():
        state.backbone.get_parameter("blocks.2.norm_mixer.weight").fill_(torch.inf)
    settings = section(recipe, "train")()
    feed = Feed(recipe, settings, Ranks(GPU))
    assert "blocks.2" in replay(state, update.objective, feed, settings, update.through(state).forget, 7)


def test_bad_updates_are_left_out_and_counted():
    recipe, state, update, _ = assembled("train.nonfinite=skip")
    for k, batch in enumerate(batches(recipe, state)):
        if k == WARM + 2:
            batch.images[3] = torch.nan
        update(state, batch)
    assert state.meter.read()["skipped"] == 1


def test_memory_that_ends_in_the_capture_halves_the_micro_batch():
    recipe, state, update, _ = assembled("shape=[3,32,32]", "backbone.width=256", "train.batch=64")
    every = list(batches(recipe, state, 2 * WARM + 6))
    for batch in every[:WARM]:
        update(state, batch)
    gc.collect()
    need = torch.cuda.max_memory_allocated() - torch.cuda.memory_allocated()
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(GPU).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + 0.7 * need) / total)
    try:
        for batch in every[WARM:]:
            update(state, batch)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert state.micro in (16, 32) and update.through(state).graphs


def test_memory_of_replays_is_counted():
    peaks = []
    for choice in ("true", "false"):
        gc.collect()
        torch.cuda.empty_cache()
        recipe, state, update, _ = assembled("shape=[3,32,32]", "train.batch=64", f"train.cuda_graph={choice}")
        before = torch.cuda.memory_allocated()
        every = list(batches(recipe, state))
        for k, batch in enumerate(every):
            if k == WARM + 2:
                torch.cuda.reset_peak_memory_stats()
            update(state, batch)
        peaks.append(torch.cuda.max_memory_allocated() - before + update.through(state).uncounted)
        del state, update, every
    assert peaks[0] == pytest.approx(peaks[1], rel=0.1)


class Awkward(nn.Module):
    """Passes tokens on, and does something that a graph cannot repeat."""

    def __init__(self, how: str):
        super().__init__()
        self.how = how

    def forward(self, tokens: Tensor, grid: object) -> Tensor:
        if self.how == "waits for the GPU":
            tokens.flatten()[0].item()
        elif self.how == "draws random numbers":
            torch.rand(1, device=tokens.device)
        else:
            torch.cuda.synchronize()
        return tokens


@pytest.mark.parametrize("how", ["waits for the GPU", "draws random numbers", ""])
def test_a_part_that_cannot_be_captured_is_trained_as_usual(how):
    recipe, state, update, said = assembled()
    state.backbone.enhancer_in = Awkward(how)
    for batch in batches(recipe, state):
        update(state, batch)
    assert len(said) == 1 and said[0].startswith("no CUDA graph: ") and how in said[0]
    assert "skipped" not in (seen := state.meter.read()) and 0 < seen["loss"] < 10
