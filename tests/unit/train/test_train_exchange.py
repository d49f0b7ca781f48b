"""Gradients leave a graph when they are complete, group after group; two processes are in test_train_ranks."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from played import Played

from zoo.builder import section
from zoo.train import exchange
from zoo.train.exchange import Exchange
from zoo.train.feed import Feed
from zoo.train.graphed import WARM, Graphed
from zoo.train.guard import Guard
from zoo.train.parallel import from_the_end
from zoo.train.ranks import Ranks
from zoo.train.state import State
from zoo.train.step import Objective, Update, there_and_back

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def small_groups(monkeypatch):
    monkeypatch.setattr(exchange, "LARGE", 100)
    monkeypatch.setattr(exchange, "GROUP", 1000)


@pytest.mark.parametrize("settings", [[], ["train.recompute=block"]], ids=str)
def test_a_group_is_marked_where_its_last_gradient_is_complete(tiny, settings):
    recipe = tiny("train.warmup=0", *settings)
    choices = section(recipe, "train")()
    state = State.start(recipe, choices, Ranks(CPU))
    state.parallel.exchange = ours = Exchange(from_the_end(state.backbone), Ranks(CPU))
    update = Update(Objective(recipe, state.backbone, choices.precision), choices, Guard(choices.nonfinite, CPU))
    run = partial(there_and_back, update.objective, choices)
    update.graphed = Graphed(run, state.backbone, choices, state.ranks, print, ours, Played(state.parameters))
    batches = Feed(recipe, choices, Ranks(CPU)).batches(0)
    for _ in range(WARM):
        update(state, next(batches))
        assert not update.graphed.marks  # nothing was launched as a graph
    update.gradients(state, next(batches))  # captured and replayed: marks hold what gradients were at their place
    there = {i: dict(zip(state.parameters, gradients)) for i, gradients in update.graphed.marks.items()}
    assert len(ours.groups) > 3 and sorted(there) == list(range(len(ours.groups)))
    for i, group in enumerate(ours.groups):
        assert all(torch.equal(there[i][p], p.grad) for p in group)
    early, late = there[0], list(state.backbone.blocks[0].parameters())  # the last block's are not held up by others
    assert all(early[p] is None or not torch.equal(early[p], p.grad) for p in late if p.grad.any())


def test_gradients_that_never_come_leave_their_group_without_a_mark():
    used, unused = (torch.nn.Parameter(torch.ones(40, 40)) for _ in range(2))
    ours = Exchange([used, unused], Ranks(CPU))
    with ours.watched(object) as marks:
        used.sum().backward()
    assert list(marks) == [0]
    ours(marks)
    assert not unused.grad.any() and used.grad.eq(1).all()


def test_without_events_nothing_is_marked_and_hooks_are_gone():
    weight = torch.nn.Parameter(torch.ones(40, 40))
    ours = Exchange([weight], Ranks(CPU))
    with ours.watched(lambda: None) as marks:
        weight.sum().backward()
    assert not marks and not weight._post_accumulate_grad_hooks


def test_every_gradient_that_can_be_learned_is_in_one_place():
    sizes = [(3,), (40, 40), (2, 50), (7, 7), (30, 30), (20, 20)]
    parameters = [torch.nn.Parameter(torch.ones(size)) for size in sizes]
    parameters[2].requires_grad_(False)
    groups = Exchange(parameters, Ranks(CPU)).groups
    assert [[tuple(p.shape) for p in group] for group in groups] == [[(40, 40)], [(30, 30), (20, 20)]]
    parameters[5].data = parameters[5].data.double()  # cannot share a message
    assert [len(group) for group in Exchange(parameters, Ranks(CPU)).groups] == [1, 1, 1]
