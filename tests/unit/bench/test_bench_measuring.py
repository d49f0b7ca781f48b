"""The clock, the memory gauge and the profile say what is known of a call beforehand."""

import os
import time
from types import SimpleNamespace

import pytest
import torch

from zoo import ops
from zoo.bench.clock import Call, Timing, in_time, measure, ratio
from zoo.bench.memory import FORGET, mib, peak
from zoo.bench.op_cases import CPU_CASES, GPU_CASES, Case, inputs, prepare
from zoo.bench.rates import Rates, rates
from zoo.bench.shares import _kernels, of_kernel, of_operator, shares
from zoo.ops import dispatch
from zoo.ops.flops import count_macs

CPU = torch.device("cpu")


def test_a_sleep_takes_what_it_takes():
    calls = {"short": Call(lambda: time.sleep(0.01)), "long": Call(lambda: time.sleep(0.06), repeats=2)}
    found = measure(calls, CPU, budget=0.1)
    assert 10 <= found["short"].ms < 20 and 30 <= found["long"].ms < 45
    assert len(found["short"].medians) == 3 and found["short"].ms == min(found["short"].medians)


def test_all_calls_take_part_in_every_round():
    seen = []
    measure({name: Call(lambda name=name: seen.append(name)) for name in "ab"}, CPU, rounds=2, budget=1e-9)
    assert "".join(seen[-4:]) == "abab"


def test_a_ratio_is_of_rounds_not_of_bests():
    assert ratio(Timing(2, (2, 40, 4)), Timing(1, (1, 10, 2))) == 2


def test_items_end_when_the_time_does():
    said = []
    assert list(in_time([1, 2, 3], 0, said.append)) == [1, 2, 3] and not said
    assert list(in_time([1, 2, 3], 1e-9, said.append)) == [] and "left out" in said[0]


@pytest.mark.skipif(not os.access(FORGET, os.W_OK), reason="peak memory is read from Linux's /proc")
def test_peak_memory_sees_what_came_and_went():
    def run():
        large = torch.ones(64 * 2**18)  # 64 MiB
        return large[:1].clone()

    run()
    assert 60 < mib(peak(run, CPU)) < 90
    assert mib(peak(lambda: None, CPU)) < 8


def test_shares_find_what_dominates():
    u = torch.randn(2, 300, 64)
    A, B = -torch.rand(64, 8), torch.randn(2, 300, 8)
    ops.selective_scan(u, u, A, B, B)
    scan = shares(lambda: ops.selective_scan(u, u, A, B, B), CPU)
    assert scan.shares["scan"] > 0.9 and sum(scan.shares.values()) == pytest.approx(1, abs=0.01)
    matrix = torch.randn(512, 512)
    assert shares(lambda: matrix @ matrix, CPU).shares["gemm"] > 0.8


@pytest.mark.parametrize(
    ("chain", "kind"),
    [
        (["zoo::selective_scan", "aten::copy_"], "scan"),
        (["zoo::causal_conv_backward", "aten::sum"], "conv"),
        (["zoo::add_norm"], "norm"),
        (["zoo::gate"], "elementwise"),
        (["zoo::mamba", "aten::linear", "aten::mm"], "gemm"),  # of a composition, what it calls
        (["zoo::mamba_backward", "cuLaunchKernel"], None),
        (["aten::linear", "aten::addmm"], "gemm"),
        (["aten::linear", "aten::to", "aten::_to_copy", "aten::copy_"], "copy"),  # a cast of autocast
        (["aten::_scaled_dot_product_cudnn_attention", "aten::empty"], "attention"),
        (["autograd::engine::evaluate_function: X", "aten::native_layer_norm_backward"], "norm"),
        (["aten::rms_norm", "aten::pow"], "norm"),
        (["aten::conv2d", "aten::convolution", "aten::cudnn_convolution"], "image conv"),
        (["Optimizer.step#AdamW.step", "aten::_fused_adamw_"], "optimizer"),
        (["aten::mul"], "elementwise"),
        (["cudaLaunchKernel"], None),
    ],
)  # fmt: skip
def test_operators_have_classes(chain, kind):
    assert of_operator(chain) == kind


def test_kernels_without_an_operator_have_classes():
    names = {"nvjet_tst_128x256": "gemm", "cudnn_generated_fort_native_sdpa_sm90": "attention", "triton_poi_fused_add":
             "elementwise", "void selective_scan_fwd_kernel<...>": "scan", "Memcpy DtoD": "copy",
             "conv_backward": "conv", "scan_backward": "scan"}  # fmt: skip
    assert {name: of_kernel(name) for name in names} == names


def test_kernels_of_a_graph_count_beside_those_of_operators():
    on_gpu, on_host = torch.autograd.DeviceType.CUDA, torch.autograd.DeviceType.CPU
    product = SimpleNamespace(name="nvjet_1", duration=5.0)
    seen = [("aten::mm", on_host, False, [product]), ("nvjet_1", on_gpu, False, []), ("nvjet_1", on_gpu, False, []),
            ("selective_scan_fwd", on_gpu, False, []), ("Optimizer.step", on_gpu, True, [])]  # fmt: skip
    events = [SimpleNamespace(name=name, device_type=where, is_user_annotation=note, kernels=kernels, cpu_parent=None,
                              device_time_total=5.0) for name, where, note, kernels in seen]  # fmt: skip
    assert list(_kernels(events)) == [("gemm", 5.0), ("gemm", 5.0), ("scan", 5.0)]


@pytest.mark.parametrize(("op", "size"), [("selective_scan", 3), ("causal_conv", 4)])
def test_work_of_a_case_is_that_of_the_call(op, size):
    case = Case(op, "forward", 2, 6, 5, size)
    x = inputs(case, CPU, torch.float32, "channel_last", 0)
    call = (lambda: ops.selective_scan(*x[:8])) if case.op == "selective_scan" else (lambda: ops.causal_conv(*x[:3]))
    assert case.macs == count_macs(call)[0]
    tensors = [t for t in x if isinstance(t, torch.Tensor) and t.ndim == 3]
    assert case.bytes(4) == 4 * sum(t.numel() for t in [*tensors, call()])
    assert case.updates == 2 * 6 * 5 * case.size


@pytest.mark.parametrize("layout", ["channel_last", "channel_first"])
@pytest.mark.parametrize("way", ["forward", "backward"])
@pytest.mark.parametrize("op", ["selective_scan", "causal_conv"])
def test_a_case_calls_its_backend(op, way, layout):
    case = Case(op, way, 2, 6, 5, 3, shuffled=True)
    x = inputs(case, CPU, torch.float32, layout, 0)
    assert (x[0].stride(1) == 1) == (layout == "channel_first") and x[0].shape == (2, 5, 6)
    torch.manual_seed(0)
    found = prepare(case, dispatch.load(op, "cpu"), x)()
    torch.manual_seed(0)
    wanted = prepare(case, dispatch.load(op, "naive"), x)()
    for a, b in list(zip(found, wanted))[: 1 if way == "forward" else 8]:
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_every_operator_has_cases():
    for cases in (GPU_CASES, CPU_CASES):
        assert {case.op for case in cases} == set(dispatch.BACKENDS)
        assert len({case.name for case in cases}) == len(cases)


def test_the_bound_is_the_longest_of_three_times():
    machine = Rates(bytes=1e9, exp2=2e9, fma=4e9)
    assert machine.floor(bytes=1e6, exp2=1e6, fma=1e6) == pytest.approx(1.0)
    assert machine.floor(bytes=0, exp2=6e6, fma=8e6) == pytest.approx(3.0)
    measured = rates(CPU)
    assert 1e8 < measured.bytes < 1e12 and 1e7 < measured.exp2 < 1e12 and 1e8 < measured.fma < 1e14
