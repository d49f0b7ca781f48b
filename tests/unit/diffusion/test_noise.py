"""Noise is a function of (seed, image, draw) and of nothing else."""

from __future__ import annotations

import pytest
import torch

from zoo.diffusion.noise import Noise
from zoo.errors import ZooError

SIZE = (3, 5, 4)


def test_an_image_has_the_same_noise_in_any_batch():
    a, b = Noise(1, [0, 5, 9]), Noise(1, [9])
    assert torch.equal(a.start(SIZE)[2:], b.start(SIZE))
    for i in (0, 3, 1):  # in any order
        assert torch.equal(a(i, torch.empty(3, *SIZE))[2:], b(i, torch.empty(1, *SIZE)))


def test_seeds_images_and_draws_differ():
    def draws(seed, image):
        noise = Noise(seed, [image])
        return [noise.start(SIZE), noise(0, torch.empty(1, *SIZE)), noise(1, torch.empty(1, *SIZE))]

    all_draws = [d for seed in (0, 1, 2**32, -1) for image in (0, 1, 2**33) for d in draws(seed, image)]
    for i, a in enumerate(all_draws):
        assert not any(torch.equal(a, b) for b in all_draws[:i])


def test_it_is_normal_and_uncorrelated():
    x = Noise(7, range(64)).start((4, 16, 16)).flatten(1)
    assert x.mean().item() == pytest.approx(0, abs=0.02) and x.std().item() == pytest.approx(1, abs=0.02)
    assert (torch.corrcoef(x) - torch.eye(64)).abs().max() < 0.15


def test_numbers_do_not_change_between_versions():
    assert Noise(0, [0]).start((3,)).tolist() == [
        [pytest.approx(v) for v in (0.059911035, 0.0155596342, -1.1644384861)]
    ]
    later = Noise(3, [17])(2, torch.empty(1, 3)).tolist()
    assert later == [[pytest.approx(v) for v in (1.1415683031, 0.00022408443, 1.6969051361)]]


def test_precision_follows_x_and_values_do_not():
    noise, x = Noise(0, [4]), torch.empty(1, *SIZE)
    assert torch.equal(noise(2, x.double()).float(), noise(2, x)) and noise(2, x.bfloat16()).dtype == torch.bfloat16
    assert torch.equal(noise.start(SIZE, dtype=torch.float64).float(), noise.start(SIZE))


def test_a_wrong_batch_is_refused():
    with pytest.raises(ZooError, match="2 images"):
        Noise(0, range(2))(0, torch.empty(3, *SIZE))
