"""One update: draws, accumulation, schedule, averages, number formats."""

from __future__ import annotations

import math

import pytest
import torch
from tiny_runs import same, tensors, trained

from zoo.builder import section
from zoo.errors import RecipeError, ZooError
from zoo.train.ema import EMA
from zoo.train.feed import Feed
from zoo.train.guard import Guard
from zoo.train.precision import LossScale
from zoo.train.ranks import Ranks
from zoo.train.schedule import factor
from zoo.train.state import State
from zoo.train.step import Objective, Update, generator

CPU = torch.device("cpu")


@pytest.fixture
def assemble(tiny):
    """assemble("train.clip=1") -> state, update, first batch."""

    def make(*overrides: str):
        recipe = tiny(*overrides)
        settings = section(recipe, "train")()
        state = State.start(recipe, settings, Ranks(CPU))
        update = Update(Objective(recipe, state.backbone, settings.precision), settings, Guard(settings.nonfinite, CPU))
        return state, update, next(Feed(recipe, settings, Ranks(CPU)).batches(0))

    return make


def weights(state: State) -> list[torch.Tensor]:
    return [p.detach().clone() for p in state.backbone.parameters()]


def test_the_first_update_has_learning_rate_0_and_changes_nothing(assemble):
    state, update, batch = assemble("train.warmup=5")
    before = weights(state)
    update(state, batch)
    assert all(map(torch.equal, before, weights(state)))
    update(state, batch)
    assert not all(map(torch.equal, before, weights(state)))
    assert state.optimizer.param_groups[0]["lr"] == pytest.approx(1e-3 / 5)


def test_without_warm_up_the_first_update_counts(assemble):
    state, update, batch = assemble("train.warmup=0")
    before = weights(state)
    update(state, batch)
    assert not all(map(torch.equal, before, weights(state)))


@pytest.mark.parametrize(("schedule", "done", "expected"), [
    ("constant", 0, 0), ("constant", 50, 0.5), ("constant", 100, 1), ("constant", 999, 1),
    ("cosine", 100, 1), ("cosine", 550, 0.5), ("cosine", 1000, 0),
    ("inverse_sqrt", 100, 1), ("inverse_sqrt", 400, 0.5),
])  # fmt: skip
def test_schedules(schedule, done, expected):
    assert factor(schedule, done, warmup=100, steps=1000) == pytest.approx(expected)


@pytest.mark.parametrize("micro", [1, 2, 4])
def test_accumulated_gradients_are_those_of_the_whole_batch(assemble, micro):
    gradients = []
    for size in (6, micro):
        state, update, batch = assemble()
        state.micro = size
        loss = update.gradients(state, batch)
        gradients.append([loss, *(p.grad for p in state.backbone.parameters() if p.grad is not None)])
    for whole, parts in zip(*gradients):
        assert (whole - parts).norm() <= 1e-6 * max(whole.norm(), 1)


def test_out_of_memory_halves_the_micro_batch_and_changes_nothing_else(assemble, monkeypatch):
    state, update, batch = assemble()
    whole = update.gradients(state, batch)
    state.optimizer.zero_grad()
    plain = Objective.__call__

    def small_memory(self, x0, *rest, **options):
        if len(x0) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return plain(self, x0, *rest, **options)

    monkeypatch.setattr(Objective, "__call__", small_memory)
    assert torch.allclose(update.fitting(state, batch), whole, rtol=1e-6)
    assert state.micro == 2


def test_a_micro_batch_given_by_the_recipe_is_kept(assemble, monkeypatch):
    state, update, batch = assemble("train.micro_batch=3")
    monkeypatch.setattr(Objective, "__call__", lambda *a, **k: (_ for _ in ()).throw(torch.OutOfMemoryError("full")))
    with pytest.raises(ZooError, match="out of memory with 3 images at a time"):
        update(state, batch)


def test_labels_are_dropped_as_often_as_asked(assemble):
    _, update, _ = assemble()
    images = torch.zeros(4096, 3, 1, 1)
    dropped = update.objective.draw(images, 1234, 0, 0.15).drop.float().mean().item()
    assert abs(dropped - 0.15) < 4 * math.sqrt(0.15 * 0.85 / 4096)


def test_draws_are_a_function_of_seed_and_images(assemble):
    _, update, batch = assemble()
    draw = lambda seed, first: update.objective.draw(batch.images, seed, first, 0.5).eps  # noqa: E731
    assert torch.equal(draw(1, 128), draw(1, 128))
    assert not torch.equal(draw(1, 128), draw(1, 256))
    assert not torch.equal(draw(1, 128), draw(2, 128))
    chances = [generator(s, k, CPU) for s in range(30) for k in range(0, 3000, 100)]
    assert len({torch.rand((), generator=chance).item() for chance in chances}) == len(chances)


def test_averages_follow_the_closed_form():
    model = torch.nn.Linear(3, 2)
    ema, decay, steps = EMA(model, 0.9), 0.9, 7
    start = model.weight.detach().clone()
    for _ in range(steps):
        with torch.no_grad():
            model.weight += 1
        ema.update()
    lag = sum((1 - decay) * decay ** (steps - k) * k for k in range(1, steps + 1))
    assert torch.allclose(ema.averages[0], start + lag, atol=1e-5)


def test_averages_stand_in_for_the_weights_and_give_them_back():
    model = torch.nn.Linear(3, 2)
    ema = EMA(model, 0.0)
    before, average = model.weight.detach().clone(), ema.averages[0].clone()
    with torch.no_grad():
        model.weight.mul_(2)
    with ema.applied():
        assert torch.equal(model.weight, average)
    assert torch.equal(model.weight, before * 2) and torch.equal(ema.averages[0], average)


def test_weight_decay_reaches_every_tensor(assemble):
    state, *_ = assemble()
    (group,) = state.optimizer.param_groups
    assert len(group["params"]) == len(list(state.backbone.parameters())) and group["weight_decay"] == 0.03


def test_a_float16_overflow_halves_the_scale_and_leaves_the_weights(assemble):
    state, update, batch = assemble("train.precision=fp16", "train.warmup=0")
    state.scale.value.fill_(2.0**120)
    before = weights(state)
    update(state, batch)
    assert state.scale.value == 2.0**119
    assert all(map(torch.equal, before, weights(state)))


def test_the_scale_doubles_after_good_updates():
    scale = LossScale("fp16", CPU, start=4.0, patience=2)
    for _ in range(2):
        scale.update(torch.tensor(False))
    assert scale.value == 8 and scale.good == 0


def test_first_weights_depend_on_the_seed_alone(assemble):
    torch.manual_seed(1)
    a = weights(assemble()[0])
    torch.manual_seed(2)
    b, c = weights(assemble()[0]), weights(assemble("train.seed=5")[0])
    assert all(map(torch.equal, a, b)) and not all(map(torch.equal, a, c))


def test_parameters_stay_float32_in_bfloat16(tiny, tmp_path):
    trained(tiny("train.steps=2", "train.precision=bf16"), tmp_path)
    assert {t.dtype for t in tensors(tmp_path, 2).values()} == {torch.float32}


def test_two_runs_of_one_recipe_are_equal_and_seeds_matter(tiny, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        trained(tiny("train.steps=3", f"train.seed={seed}"), tmp_path / name)
    a, b, c = (tensors(tmp_path / name, 3) for name in "abc")
    assert same(a, b) and not same(a, c)


@pytest.mark.parametrize("setting", ["batch=0", "ema=[1.0]", "label_dropout=1.5", "log_every=0", "workers=-1"])
def test_impossible_settings_are_refused(tiny, setting):
    with pytest.raises(RecipeError, match=setting.partition("=")[0]):
        section(tiny(f"train.{setting}"), "train")()
