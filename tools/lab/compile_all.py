import itertools, sys, os, time
from concurrent.futures import ProcessPoolExecutor
sys.path.insert(0, os.getcwd())
from pathlib import Path
from zoo.ops.cuda import nvrtc
from zoo.ops.selective_scan import cuda_plan as plan
S = Path("zoo/ops/selective_scan").absolute()
FL = ("ORDERED", "VECTOR", "GATED", "SOFTPLUS", "ZOH")
def jobs():
    fl = [dict(zip(FL, v)) for v in itertools.product((0, 1), repeat=5)]
    some = [f for f in fl if f in (dict(zip(FL,(1,1,1,1,0))), dict(zip(FL,(0,0,0,0,1))), dict(zip(FL,(0,1,1,1,0))))]
    yield S.parent/"cuda/reduce.cu", {"IO_KIND": 0}
    for k in (1, 0, 2):
        for st, g in ((16, 0), (8, 0), (20, 1), (20, 3), (48, 2)):
            base = {"IO_KIND": k, "STATE": st}
            yield S/"scan_reduce.cu", base
            for f in (fl if g == 0 and st == 16 else some):
                m = base | {"GROUP": g} | f
                yield S/"scan_backward.cu", m | plan.Backward(64, 3 if k == 1 and not f["ZOH"] else 2).macros()
                for sh in plan.FORWARD: yield S/"scan_forward.cu", m | sh.macros()
                if f["VECTOR"]:
                    for r in (0, 1): yield S/"scan_carry.cu", {a: b for a, b in m.items() if a not in ("GROUP", "VECTOR")} | {"REVERSE": r}
def go(j):
    try:
        t=time.time(); b = nvrtc.build(*j, 90); return j, None, b.spills(), b.log
    except Exception as e: return j, str(e)[:1500], 0, ""
if __name__ == "__main__":
    J = list(jobs()); t=time.time(); bad = {}; sp = {}
    with ProcessPoolExecutor(int(sys.argv[1]) if len(sys.argv)>1 else 2) as ex:
        for j, e, s, log in ex.map(go, J):
            if e: bad.setdefault(j[0].name, []).append((j[1], e))
            else:
                if s: sp.setdefault(j[0].name, []).append((s, j[1]))
    print(len(J), "variants", time.time()-t, "s; bad", {k: len(v) for k, v in bad.items()}, "spilling", {k: (len(v), max(x[0] for x in v)) for k, v in sp.items()})
    for k, v in bad.items(): print(k, v[0][0], v[0][1])
