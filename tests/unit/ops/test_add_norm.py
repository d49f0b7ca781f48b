"""Sum, norm and modulation are what their definition says, on the path that every device can take."""

import torch
from norm_cases import check, check_gated_add

SIZES = [(2, 5, 7), (1, 1, 3), (3, 33, 16)]


def test_outputs_and_gradients_are_those_of_the_definition():
    check(2e-6, SIZES)
    check(1e-14, SIZES, dtype=torch.float64)


def test_a_gated_branch_is_added():
    check_gated_add(1e-6, SIZES)
