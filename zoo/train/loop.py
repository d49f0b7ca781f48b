"""Training, on one page: look at the clock; then preview, validate, save; then one update."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import torch

from zoo.builder import build, section, summary
from zoo.data.places import without_fetching
from zoo.errors import DataError, at_least
from zoo.recipe import Recipe
from zoo.sampling.api import pick_device
from zoo.train.evaluation import Evaluation
from zoo.train.feed import Feed, check_classes
from zoo.train.guard import Guard, diagnose
from zoo.train.memory import need
from zoo.train.page import write_page
from zoo.train.precision import configure
from zoo.train.preview import Preview
from zoo.train.progress import Progress
from zoo.train.ranks import Ranks, joined
from zoo.train.report import report
from zoo.train.run import Run
from zoo.train.settings import Train
from zoo.train.state import State
from zoo.train.step import Objective, Update
from zoo.train.stop import Stop
from zoo.train.usage import Usage
from zoo.train.validate import Validation


def train(recipe: Recipe, folder: str | Path, *, resume: bool = False, device: str = "auto",
          max_minutes: float = 0.0) -> str:  # fmt: skip
    """Train what a recipe describes, in a run folder; returns in a sentence how it ended.

    It stops cleanly, with a checkpoint, after the last step, at Ctrl-C or SIGTERM, and at the time limit. Started
    by torchrun or srun in several processes, these share each batch; only the first one writes and says anything.

    Args:
        resume: continue from the newest valid checkpoint of the folder, if there is one.
        max_minutes: time limit, 0 for the recipe's.

    Raises: ZooError if the folder is in use or holds another run, if data or recipe do not fit, or if a
        loss is not finite.
    """
    settings = section(recipe, "train")()
    at_least(0, max_minutes, "--max-minutes")
    with ExitStack() as stack:
        ranks = stack.enter_context(joined(pick_device(device)))
        configure(ranks.device, settings.precision, settings.deterministic)
        stop = stack.enter_context(Stop(max_minutes or settings.max_minutes, ranks.any))
        run = stack.enter_context(Run(Path(folder), recipe, settings, ranks, resume=resume))
        screen = stack.enter_context(Progress(settings, quiet=not ranks.first))
        state, feed = State.start(recipe, settings, ranks), Feed(recipe, settings, ranks)
        run.classes = feed.classes
        check_classes(state.backbone, feed.datasets[0])
        for line in report(recipe, settings, ranks, feed.datasets):
            screen.say(line)
        screen.usage = Usage(summary(recipe)["macs"], ranks.device, settings.precision, ranks.size)
        run.restore(state, screen.say)
        if state.step >= settings.steps:
            done = f"nothing to do: {folder} has reached step {state.step:,} of {settings.steps:,}"
            return done if ranks.first else ""
        learn(state, run, feed, screen, stop)
    if not ranks.first:
        return ""
    finished = state.step >= settings.steps
    how = f"finished {state.step:,} updates" if finished else f"stopped by {stop.reason} at step {state.step:,}"
    return f"{how}; everything is in {folder}"


def rehearse(recipe: Recipe, device: str = "auto") -> list[str]:
    """What `train` would say before its first update."""
    settings, place = section(recipe, "train")(), pick_device(device)
    try:
        with without_fetching():
            data = Feed(recipe, settings, Ranks(place)).datasets
    except DataError as error:  # a rehearsal needs no pictures
        data = error
    else:
        with torch.device("meta"):
            check_classes(build(recipe), data[0])
    return [*report(recipe, settings, Ranks(place), data), f"{'memory':<10} {foreseen(recipe, settings)}"]


def foreseen(recipe: Recipe, settings: Train) -> str:
    """What one process will need, in words."""
    found, images = need(recipe), settings.micro_batch or settings.batch
    if found is None:
        return "not predicted where activations are recomputed"
    return (f"about {found.at(images) / 2**30:.3g} GiB for {images} images at a time on one device: "
            f"{found.states / 2**30:.3g} GiB for weights and their states, {found.image / 2**20:.3g} MiB an image")


def learn(state: State, run: Run, feed: Feed, screen: Progress, stop: Stop) -> None:
    """The loop, from `state.step` to the last one or to a request to stop.

    A request to stop cuts a validation or a preview short; that one is not made up for when the run goes on.
    """
    settings, ranks, start = run.settings, run.ranks, state.step
    objective = Objective(run.recipe, state.backbone, settings.precision)
    guard = Guard(settings.nonfinite, feed.device)
    update = Update(objective.through(state.parallel.network()), settings, guard, screen.say)
    graphed = update.through(state)
    if screen.usage and (recorder := graphed.recorder):  # it alone: the screen outlives processes, DDP must not
        screen.usage.uncounted = lambda: recorder.uncounted
    validate = Validation(objective, partial(feed.held_out, state.micro * ranks.size), settings.seed, ranks)
    preview = Preview(run.recipe, settings, state, run.samples, screen.say)
    evaluate = Evaluation(run.recipe, settings, state, run.folder / "eval", screen.say)
    check = partial(guard.check, partial(replay, state, objective, feed, settings, graphed.forget),
                    partial(run.roll_back, state, screen.say))  # fmt: skip
    batches = feed.batches(state.images)
    screen.mark(state)
    while True:
        last, asked, record = state.step >= settings.steps, bool(stop), {}
        due = partial(is_due, state.step, start, last)
        if due(settings.log_every):
            check()
            record = {**state.meter.read(), "lr": state.optimizer.param_groups[0]["lr"], **screen.measure(state)}
        looked_closely = evaluate.due(state, start, last)
        if looked_closely or due(settings.val_every) or due(settings.preview_every):
            graphed.make_room()
        if due(settings.val_every):
            record |= validate(state, not last and stop)
        if looked_closely:
            record |= evaluate(state, not last and stop)
        if record:
            run.log(state.step, record)
            screen.show(state, record)
        if due(settings.preview_every):
            preview(state, not last and stop)
        if due(settings.save_every) or ((last or asked) and state.step > start):
            check()
            run.save(state, screen.say)
        looked = looked_closely or any(map(due, (settings.val_every, settings.preview_every, settings.save_every)))
        if (looked or asked) and ranks.first:
            write_page(run.folder, run.recipe, run.history)
        if last or asked:
            break
        if looked or record:
            screen.mark(state)
        update(state, next(batches))
        if state.step == start + 1:
            state.files()  # an optimizer that cannot be saved is told while there is nothing to lose
        screen.tick(state)
    run.check_saved()


def is_due(step: int, start: int, last: bool, every: int) -> bool:
    """Whether something that happens `every` so many updates happens now; where a run continues, it has happened."""
    return bool(every) and step > start and (last or step % every == 0)


def replay(state: State, objective: Objective, feed: Feed, settings: Train, make_room: Callable[[], None],
           step: int) -> str:  # fmt: skip
    """Compute update `step` once more, with the weights that it met, to say what went wrong.

    Weights that are spread over processes cannot be looked at by one of them alone.

    Args:
        make_room: gives back memory that updates keep, and this one needs.
    """
    make_room()
    first = step * state.batch
    mine = "" if state.parallel.sharded else replay_share(state, objective, feed, settings, first)
    unknown = f"images {first} to {first + state.batch - 1} gave numbers that are not finite, and now do not"
    return next((reason for reason in state.ranks.texts(mine) if reason), unknown)


def replay_share(state: State, objective: Objective, feed: Feed, settings: Train, first: int) -> str:
    """What is not finite in this process's share of the batch at image `first`, or an empty text."""
    batch = next(feed.batches(first))
    draw = objective.draw(batch.images, settings.seed, first, settings.label_dropout, batch=state.batch,
                          before=batch.first - first)  # fmt: skip
    for at in range(0, len(batch.images), state.micro):
        rows = slice(at, at + state.micro)
        part = batch.rows(rows)
        losses = partial(objective, part.images, part.labels, draw.rows(rows), dropping=settings.label_dropout > 0)
        if reason := diagnose(state.backbone, losses, part.first):
            return reason
    return ""
