"""Memory of a training step, as PyTorch's allocator sees it (the profiler's memory events count every allocation, those inside kernels too), against the plan's.
As a script it prints a table: python tests/test_memory.py"""
import os, sys, tempfile
from pathlib import Path
from statistics import median
import pytest, torch, torch.distributed as dist, torch.multiprocessing as mp
from torch.profiler import ProfilerActivity, profile, record_function
from trionyx.compute import set_compute
from trionyx.core import World
from trionyx.fsdp import local, optimizer_of, place
from trionyx.model import GPT, GPTConfig
from trionyx.plan import memory_of

def config(depth, vocab, **kw): return GPTConfig(depth=depth, vocab=vocab, head_dim=32, window='L', attn='sdpa', **{**dict(seq=256, aspect=32), **kw})

def phases(prof, start):
    "Most bytes in each phase, from the profiler's events"
    es = prof.profiler.kineto_results.events()
    marks = [(e.start_ns(), e.start_ns()+e.duration_ns(), e.name()[2:]) for e in es if e.name().startswith('p:')]
    now,res = start,{}
    for e in sorted((e for e in es if e.name()=='[memory]'), key=lambda e: e.start_ns()):
        now += e.nbytes()
        for a,b,k in marks:
            if a<=e.start_ns()<=b: res[k] = max(res.get(k, 0), now)
    return res

def measure(cfg, rows, world, shard, **how):
    "Bytes of one rank: what lies there between steps, and the most in each phase of a step of two micro-batches"
    m = place(GPT(cfg).init_weights(0), world, shard, torch.bfloat16)
    set_compute(m, **how).compute_dtype = torch.bfloat16
    opt = optimizer_of(m, world=world, dtype=torch.bfloat16)
    x = torch.randint(cfg.vocab, (rows, cfg.seq))
    def one(last):
        if last: opt.last_pass()
        with record_function('p:forward'): loss = m.loss(x, x, reduction='sum')
        with record_function('p:backward'): loss.backward()
    def step():
        for last in (False, True): one(last)
        with record_function('p:receive'): ok = opt.sums().isfinite().all()
        opt.set_step(1, 10)
        with record_function('p:update'): opt.step(ok)
        opt.zero_grad()
    step()
    w,s = [sum(t.untyped_storage().nbytes() for t in {t.untyped_storage().data_ptr(): t for t in ts}.values()) for ts in ([local(p.data) for p in m.parameters()], opt.slots().values())]
    peaks = []
    for _ in range(3 if world.world>1 else 1): # gloo's threads let go of a message early or late: the middle one counts
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as prof: step()
        peaks.append(phases(prof, w+s))
    return dict(weights=w, state=s, **{k: median(o[k] for o in peaks) for k in peaks[0]})

def worker(rank, world, folder, jobs):
    torch.set_num_threads(1)
    if world>1: dist.init_process_group('gloo', init_method=f'file://{folder}/rendezvous', rank=rank, world_size=world)
    torch.save([measure(config(**cfg), rows, World(rank, world), shard, **dict(*how)) for cfg,rows,shard,*how in jobs], f'{folder}/{rank}.pt')
    if world>1: dist.destroy_process_group()

def measured(world, jobs):
    "The fullest rank of each job"
    with tempfile.TemporaryDirectory() as d:
        mp.spawn(worker, (world, d, jobs), world)
        by = list(zip(*[torch.load(Path(d)/f'{r}.pt') for r in range(world)]))
    return [{k: max(o[k] for o in rs) for k in rs[0]} for rs in by]

CASES = {2: [(dict(depth=8, vocab=2048, aspect=16), 2, 'zero'), (dict(depth=8, vocab=2048, aspect=16), 2, 'fsdp'), (dict(depth=8, vocab=2048), 4, 'zero'), (dict(depth=8, vocab=2048), 4, 'fsdp'), (dict(depth=12, vocab=512), 1, 'fsdp')],
         4: [(dict(depth=8, vocab=2048), 1, 'zero'), (dict(depth=8, vocab=2048), 1, 'fsdp')],
         1: [(dict(depth=8, vocab=2048), 4, 'zero'), (dict(depth=4, vocab=8192), 8, 'zero'), (dict(depth=12, vocab=512), 1, 'zero')]}

AGAIN = dict(depth=6, vocab=128, aspect=16) # Small weights beside many tokens, as a large micro-batch has them
WORKED = [(AGAIN, 4, 'zero', how) for how in (dict(), dict(again=3), dict(again=6), dict(fp8=True), dict(fp8=True, again=6))]

def table(world, jobs):
    "Most bytes: measured, and the plan's"
    for (cfg,rows,shard,*how),got in zip(jobs, measured(world, jobs)):
        c,how = config(**cfg),dict(*how)
        plan,peak = memory_of(c, rows, world, shard, cpu=True, **how),max(got.values())
        yield dict(ranks=world, shard=shard, rows=rows, **cfg, **how, parameters=c.n_params, measured=round(peak/1e6, 1), plan=round(plan.peak/1e6, 1), ratio=round(plan.peak/peak, 3), moment=max(got, key=got.get))

if __name__=='__main__':
    for w,jobs in [*CASES.items(), (1, WORKED), (2, [(AGAIN, 4, 'fsdp', dict(again=6))])]:
        for o in table(w, jobs): print(o, flush=True)
    sys.exit()

def test_two_ranks():
    "Within 10% of what the plan says, with whole weights (0.1% when this was written) and with sharded ones (3%)"
    for o in table(2, CASES[2][:2]):
        print(o)
        assert .9<o["ratio"]<1.1, o

@pytest.mark.skipif(not os.environ.get('TRIONYX_SLOW'), reason='slow where bfloat16 is emulated: set TRIONYX_SLOW=1')
@pytest.mark.parametrize('world', CASES)
def test_all_cases(world):
    for o in table(world, CASES[world]):
        print(o)
        assert .9<o["ratio"]<1.1, o

def test_layers_worked_out_again_and_float8():
    "Within 10% of the plan, and less the more layers are worked out again"
    got = list(table(1, WORKED))
    for o in got: print(o)
    assert all(.9<o["ratio"]<1.1 for o in got)
    assert got[0]['measured'] > 1.3*got[1]['measured'] > 1.3*1.2*got[2]['measured']

def test_sharded_layers_worked_out_again():
    "With weights divided among ranks, too, a layer is worked out again and memory is less"
    (kept,_),(again,_) = [(o['measured'], o['ratio']) for o in table(2, [(AGAIN, 4, 'fsdp', how) for how in (dict(), dict(again=6))])]
    assert again<.8*kept
