"""Operators: each one function with several backends behind it; `naive.py` is the truth, `dispatch.py` chooses."""

from zoo.ops.add_norm import add_norm
from zoo.ops.causal_conv import causal_conv
from zoo.ops.dispatch import report
from zoo.ops.mamba import mamba
from zoo.ops.selective_scan import selective_scan

__all__ = ["add_norm", "causal_conv", "mamba", "report", "selective_scan"]
