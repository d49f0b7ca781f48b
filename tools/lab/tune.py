import os, sys, time
sys.path.insert(0, os.getcwd()); sys.path.insert(0, "tools")
import torch
from zoo.ops import dispatch
dispatch.BACKENDS["selective_scan"] = ("cpu", "cuda", "triton", "naive"); dispatch.BACKENDS["causal_conv"] = ("cpu", "cuda", "triton", "naive")
import bench_ops as b
from zoo.ops.selective_scan import cuda, cuda_plan as plan
from triton.testing import do_bench
t0=time.time()
sys.argv=["bench","--repeats","1","--backends","cuda","--json",os.environ["OUT"]+"/ops.json"]; b.main()
print("bench",time.time()-t0)
bm=lambda f: do_bench(f,warmup=10,rep=40,return_mode="median")
fs=plan.forward_shape
for s in b.SCAN_FORWARD+[(1,3072,366),(4,3072,1230),(8,3072,366),(16,1024,365),(1,1024,4096)]:
    B,E,L=s; x=b.scan_inputs(*s,None); U=B*E*L*16/1e6; out=[]
    for nm,v in (("W",plan.WIDE),("M",plan.MIDDLE),("N",plan.NARROW),("W8u",plan.Forward(64,1,4,8,1,2)),("32",plan.Forward(32,1,2,16,2,4)),("32x2",plan.Forward(32,2,4,16,2,3)),("M4",plan.Forward(16,2,4,16,2,3))):
        plan.forward_shape=lambda c,v=v: v
        try: t=bm(lambda: cuda.forward(x,False)); out.append(f"{nm} {U/t:.0f}")
        except Exception as e: out.append(nm+" "+str(e)[:60])
    plan.forward_shape=fs; print("FWD",s,*out,flush=True)
bs=plan.backward_shape
for s in ((2,3072,4494),(2,3072,1230),(1,3072,9806),(8,3072,1056)):
    B,E,L=s; x=b.scan_inputs(*s,None); U=B*E*L*16/1e6; out=[]; gy=torch.randn(B,L,E,device="cuda").bfloat16(); st=cuda.forward(x,True)[1]
    for n in (1,2,3,4,6,8,12,16):
        plan.backward_shape=lambda c,n=n: plan.Backward(64,3,n)
        t=bm(lambda: cuda.backward(x,st,gy)); out.append(f"{n}: {U/t:.0f}")
    plan.backward_shape=bs; print("BWD",s,*out,flush=True)
for v in ((128,1),(32,6),(64,2)):
    plan.backward_shape=lambda c: plan.Backward(*v)
    for s in ((128,1024,365),(32,3072,273)):
        B,E,L=s; x=b.scan_inputs(*s,None); U=B*E*L*16/1e6; gy=torch.randn(B,L,E,device="cuda").bfloat16(); st=cuda.forward(x,True)[1]
        print("BWD",v,s,f"{U/bm(lambda: cuda.backward(x,st,gy)):.0f}",flush=True)
plan.backward_shape=bs
s=(128,1024,365); x=b.scan_inputs(*s,None); gy=torch.randn(128,365,1024,device="cuda").bfloat16(); st=cuda.forward(x,True)[1]
with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as p:
    for _ in range(5): cuda.backward(x,st,gy)
    x2=b.scan_inputs(2,3072,4494,None); g2=torch.randn(2,4494,3072,device="cuda").bfloat16(); s2=cuda.forward(x2,True)[1]
    for _ in range(5): cuda.backward(x2,s2,g2)
    torch.cuda.synchronize()
print(p.key_averages().table(sort_by="cuda_time_total",row_limit=14,max_name_column_width=40)[:5000])
