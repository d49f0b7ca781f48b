import os, sys, time, traceback
START = time.time()
sys.path.insert(0, os.getcwd())
import torch
from zoo import ops
from zoo.ops import dispatch
dispatch.BACKENDS["selective_scan"] = ("cpu", "cuda", "triton", "naive")
from zoo.ops.selective_scan import cuda, naive, triton as tri
from zoo.ops.selective_scan.inputs import Inputs
from zoo.ops.dispatch import Problem
dev = torch.device("cuda", 0)
DT = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}
LIMIT = {"f32": 5e-6, "bf16": 5e-3, "f16": 1e-3}
NAMES = ("y", "du", "ddt", "dA", "dB", "dC", "dD", "dz", "dbias")
torch.set_num_threads(2)

def case(B, L, E, N, dtype, strided, seed):
    g = torch.Generator(dev).manual_seed(seed)
    def new(*s): return torch.randn(*s, device=dev, generator=g)
    def seq(w):
        if not strided: return new(B, L, w).to(dtype)
        pad = {1: 8, 2: 3}[strided]
        return new(B, L + 2, w + 2 * pad).to(dtype)[:, 1:L + 1, pad:pad + w]
    return [seq(E), seq(E), -new(E, N).exp(), seq(N), seq(N), new(E), seq(E), new(E) - 1]

def check(label, B, L, E, N, d, order=None, without=(), zoh=False, softplus=True, strided=0, vectors=torch.float32):
    dtype = DT[d]
    t = case(B, L, E, N, dtype, strided, L + E)
    t[5], t[7] = t[5].to(vectors), t[7].to(vectors)
    for i in without: t[i] = None
    if not softplus: t[1] = t[1].abs()
    rows = {None: None, 1: (L,)}.get(order, (order, L // (order or 1)))
    o = None if order is None else torch.randperm(L, device=dev, generator=torch.Generator(dev).manual_seed(1)).int().view(rows)
    gy = torch.randn(B, L, E, device=dev, generator=torch.Generator(dev).manual_seed(2)).bfloat16().to(dtype)
    x64 = Inputs(*[None if a is None else a.double() for a in t], o, softplus, zoh)
    want = (naive.forward(x64, False)[0], *naive.backward(x64, None, gy.double()))
    out = {}
    for be in ("cuda", "triton") if TRITON else ("cuda",):
        leaves = [None if a is None else a.detach().requires_grad_() for a in t]
        u, dt, A, Bm, C, D, z, bias = leaves
        f = lambda: ops.selective_scan(u, dt, A, Bm, C, D, z, bias, softplus, o, "zoh" if zoh else "euler", be)
        grads = lambda y: torch.autograd.grad(y, [a for a in leaves if a is not None], gy)
        torch.use_deterministic_algorithms(True, warn_only=True)  # poisons empty tensors with NaN
        y = f(); g = iter(grads(y))
        torch.use_deterministic_algorithms(False)
        got = [y] + [next(g) if a is not None else None for a in leaves]
        err = {}
        for n, a, w in zip(NAMES, got, want):
            if a is None: continue
            if not a.shape == w.shape: err[n] = float("inf"); continue
            err[n] = ((a.double() - w).norm() / w.norm().clamp_min(1e-30)).item()
        if be == "cuda":
            with torch.no_grad(): y2 = f()
            if not torch.equal(y2, y): err["y(no save)"] = ((y2.double() - y.double()).norm() / y.double().norm()).item() or float("nan")
            again = grads(f())
            same = all(torch.equal(a, b) for a, b in zip(again, grads(f())))
            if not same: err["repeat"] = float("nan")
        out[be] = err
    worst = max(out["cuda"].values(), key=lambda v: v if v == v else 9e9)
    ok = all(v <= max(LIMIT[d], 5e-3 if vectors != torch.float32 and n in ('dD', 'dbias') else 0) for n, v in out['cuda'].items())
    if not ok or VERBOSE:
        print("ok " if ok else "BAD", label, (B, L, E, N), d, {k: f"{v:.0e}" + (f"|{out['triton'].get(k, 0):.0e}" if "triton" in out else "") for k, v in out["cuda"].items()}, flush=True)
    return ok, worst

torch.set_grad_enabled(True)
import warnings; warnings.filterwarnings("ignore", message=".*deterministic.*")
TRITON, VERBOSE = False, False
for d in DT:
    t = time.time(); print("supports", d, cuda.supports(Problem(dev, DT[d], 16)), f"{time.time()-t:.1f} s", flush=True)
OPTS = {
    "plain": {}, "order": dict(order=1), "noz": dict(without=(6,)), "noD": dict(without=(5,), order=1), "nobias": dict(without=(7,)),
    "bare": dict(without=(5, 6, 7), softplus=False), "zoh": dict(zoh=True), "zoh order strided noz": dict(zoh=True, order=1, strided=1, without=(6,)),
    "strided": dict(strided=1), "odd strided order": dict(strided=2, order=1), "vectors bf16": dict(vectors=torch.bfloat16),
}
CASES = []
for size in ((2, 77, 384), (2, 405, 60), (1, 1230, 3072)):
    for N in (16, 8):
        for d in ("f32", "bf16"):
            for k, o in OPTS.items():
                CASES.append((k, *size, N, d, o))
for d in DT:
    for k, o in OPTS.items():
        CASES.append((k, 2, 38, 130, 16, d, o)); CASES.append((k, 3, 129, 33, 8, d, o))
    CASES += [("chunks", 1, 5000, 48, 16, d, {}), ("chunks order zoh", 1, 4133, 33, 8, d, dict(order=1, zoh=True)), ("train", 128, 73, 1024, 16, d, dict(order=1)),
              ("one", 1, 1, 1, 1, d, {}), ("three", 3, 3, 5, 16, d, {}), ("rows", 3, 120, 40, 16, d, dict(order=3)), ("rows30", 3, 120, 40, 8, d, dict(order=30))]
    CASES += [(f"state", 2, 70, 40, n, d, dict(order=1)) for n in (1, 5, 17, 32, 33, 64)] + [("state long", 1, 2000, 72, 40, d, dict(zoh=True))]
bad = n = 0; worst = {}
LIMIT_S = float(os.environ.get("CHECK_S", 110))
for i, (k, B, L, E, N, d, o) in enumerate(sorted(CASES, key=lambda c: c[2] > 1000)):
    if time.time() - START > LIMIT_S: print("stopped at case", i, "of", len(CASES)); break
    try: ok, w = check(k, B, L, E, N, d, **o)
    except Exception as e:
        ok, w = False, float("nan"); print("ERROR", k, (B, L, E, N), d, o, type(e).__name__, str(e)[-200:], flush=True)
        if "CUDA" in str(e) or "driver" in str(e):
            if "illegal" in str(e).lower() or "error" in str(e).lower(): traceback.print_exc(limit=-4); break
    n += 1; bad += not ok
    if bad > 25: print('too many'); break
    worst[d] = max(worst.get(d, 0), w)
print("BAD COUNT", bad); print(f"{n} of {len(CASES)} cases, {bad} bad, worst {worst}, {time.time()-START:.0f} s", flush=True)

from triton.testing import do_bench
print("timings (CUDA events, L2 flushed, median ms; G updates/s)")
for B, L, E in ((128, 365, 1024), (32, 273, 3072), (2, 4494, 3072)):
    t = case(B, L, E, 16, torch.bfloat16, 0, 0); o = torch.randperm(L, device=dev).int()
    gy = torch.randn(B, L, E, device=dev).bfloat16(); up = B * L * E * 16 / 1e6
    for be in ("cuda", "triton"):
        for order in (None, o) if be == "cuda" else (None,):
            leaves = [a.detach().requires_grad_() for a in t]
            f = lambda: ops.selective_scan(*leaves, True, order, "euler", be)
            with torch.no_grad(): fwd = do_bench(f, return_mode="median")
            both = do_bench(lambda: torch.autograd.grad(f(), leaves, gy), return_mode="median")
            m = {"cuda": cuda, "triton": tri}[be]; x = Inputs(*t, order, True, False)
            _, st = m.forward(x, True)
            bwd = do_bench(lambda: m.backward(x, st, gy), return_mode="median")
            print((B, L, E), be, "order" if order is not None else "", f"fwd {fwd:.3f} ms {up/fwd:.0f} G/s, fwd+bwd {both:.3f} ms {up/both:.0f} G/s, bwd alone {bwd:.3f} ms {up/bwd:.0f} G/s", flush=True)
