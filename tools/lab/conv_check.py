import os, sys, time, itertools
sys.path.insert(0, os.getcwd())
T0=time.time()
import torch
from zoo import ops
from zoo.ops import dispatch
dispatch.BACKENDS["causal_conv"] = ("cpu", "cuda", "triton", "naive")
from zoo.ops.causal_conv import cuda, naive, triton as tri
from zoo.ops.causal_conv.inputs import Inputs
dev=torch.device("cuda",0); torch.set_num_threads(2)
DT={"f32":torch.float32,"bf16":torch.bfloat16,"f16":torch.float16}; LIM={"f32":5e-6,"bf16":5e-3,"f16":1e-3}
for d in DT: t=time.time(); print("supports", d, cuda.supports(dispatch.Problem(dev,DT[d],4)), f"{time.time()-t:.2f}s")
bad=n=0; worst={}
for d in DT:
  for i,(W,(L,rows),E,strided,silu) in enumerate(itertools.product((2,3,4,8),((1,1),(33,0),(120,4),(361,1),(128,64),(1030,1)),(5,130,256),(0,1),(True,False))):
    if (i*7+len(d))%3 and W!=4: continue
    g=torch.Generator(dev).manual_seed(i); new=lambda *s: torch.randn(*s,device=dev,generator=g)
    x=(new(3,L,E) if not strided else new(3,L,2*E)[...,E:]).to(DT[d]); x=x if not strided else torch.cat([x,x],2)[...,E:]
    w,b=new(E,W),(new(E) if i%3 else None); o=None if rows==0 else torch.randperm(L,device=dev,generator=g).int().view((L,) if rows==1 else (rows,-1))
    gy=new(3,L,E).bfloat16().to(DT[d])
    X=Inputs(x.double(),w.double(),None if b is None else b.double(),o,silu); want=(naive.forward(X),*naive.backward(X,gy.double()))
    def go():
        lv=[t.detach().requires_grad_() for t in (x,w,b) if t is not None]
        torch.use_deterministic_algorithms(True,warn_only=True)
        y=ops.causal_conv(*(lv if b is not None else lv+[None]),order=o,activation="silu" if silu else "none",backend="cuda")
        gr=torch.autograd.grad(y,lv,gy); torch.use_deterministic_algorithms(False)
        return (y.detach(),*gr)
    a,c=go(),go(); err=[((p.double()-q).norm()/q.norm()).item() for p,q in zip(a,want)]
    ok=all(e<=LIM[d] for e in err) and all(torch.equal(p,q) for p,q in zip(a,c)); n+=1; bad+=not ok; worst[d]=max(worst.get(d,0),*err)
    if not ok and bad<12: print("BAD",d,W,L,rows,E,strided,silu,["%.0e"%e for e in err],all(torch.equal(p,q) for p,q in zip(a,c)))
print(n,"conv cases",bad,"bad, worst",worst,f"{time.time()-T0:.0f}s",flush=True)
from triton.testing import do_bench
bm=lambda f: do_bench(f,return_mode="median")
B,L,E=128,273,1024
x=torch.randn(B,L,2*E,device=dev).bfloat16()[...,:E]; w=torch.randn(E,4,device=dev); b=torch.randn(E,device=dev); gy=torch.randn(B,L,E,device=dev).bfloat16(); o=torch.randperm(L,device=dev).int()
for W in (4,3):
  for order in (None,o):
    X=Inputs(x,w[:,:W].contiguous(),b,order,True)
    for m in (cuda,tri): print("conv",(B,L,E),W,m.name,"order" if order is not None else "",f"fwd {bm(lambda: m.forward(X)):.4f} bwd {bm(lambda: m.backward(X,gy)):.4f} ms",flush=True)
src=cuda.SOURCE.read_text()
for RUN in (16,24,40,64):
    cuda.RUN=RUN; X=Inputs(x,w,b,None,True); print("RUN",RUN,f"fwd {bm(lambda: cuda.forward(X)):.4f} bwd {bm(lambda: cuda.backward(X,gy)):.4f}",flush=True)
