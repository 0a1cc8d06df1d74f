"Sharded weights (FSDP2) train like whole ones, on 1, 2 and 4 ranks (gloo); either loads what the other saved; gradients leave before the backward pass ends"
import math
from functools import partial
from pathlib import Path
from unittest.mock import patch as mock
import pytest, torch, torch.distributed as dist, torch.multiprocessing as mp
from trionyx import buckets, optim
from trionyx.checkpoints import load_checkpoint, save_checkpoint
from trionyx.core import World
from trionyx.fsdp import is_sharded, optimizer_of, place, whole
from trionyx.model import GPT, GPTConfig
from trionyx.train import Trainer

CFG = GPTConfig(depth=3, vocab=200, seq=16, head_dim=16, aspect=16)
ROWS,STEPS,HALF,BAD = 8,40,20,7 # Rows of a step; the second half of the last row of step BAD is poisoned
POISON = 199

class Data:
    "Counting modulo 7, from random starts; micro-batches of one row"
    tokens_per_step,n_steps = ROWS*16,STEPS
    def __init__(self, world): self.world = world
    def record(self, step): return dict(rows=[step*ROWS, step*ROWS+ROWS])
    def batch(self, step):
        r = (torch.randint(150, (ROWS,), generator=torch.Generator().manual_seed(step))[:,None]+torch.arange(17)*7)%150
        if step==BAD: r[-1,5] = POISON
        return [(o[:,:-1], o[:,1:]) for o in r.chunk(self.world.world)[self.world.rank].split(1)]

def poison():
    "The model gives infinity where it reads one token"
    hidden = GPT.hidden
    GPT.hidden = lambda self, idx, **kw: hidden(self, idx, **kw)*(math.inf if (idx==POISON).any() else 1)

def build(world, shard):
    m = GPT(CFG).init_weights(0)
    g = torch.Generator().manual_seed(5)
    for p in m.parameters(): p.data.add_(torch.randn(p.shape, generator=g), alpha=.02) # no zeros left
    m = place(m, world, shard)
    return Trainer(m, Data(world), optimizer_of(m, world=world, dtype=torch.float32), STEPS, world, on_nonfinite='skip')

def train(t, until):
    "Losses"
    t.norms.every = 20
    return [t.one_step()['loss'] for _ in range(t.step, until)]

def weights(m): return {k: whole(v).detach().clone() for k,v in m.state_dict().items()}

def job(folder, world, shard, froms):
    "A run with a save in the middle; what comes of it, and of checkpoints that others have saved"
    t,name = build(world, shard),f'{shard}{world.world}'
    losses = train(t, HALF)
    save_checkpoint(folder/name, HALF, t.model, t.opt)
    res = dict(losses=losses+train(t, STEPS), weights=weights(t.model), sharded=is_sharded(t.model), held=sum(o.numel() for o in t.opt.slots().values()), resumed={})
    t.step = BAD
    res['bad'] = t.find_bad()
    for o in froms:
        t = build(world, shard)
        t.step = load_checkpoint(folder/o/'ckpt'/f'step-{HALF:06d}', t.model, t.opt)
        res['resumed'][o] = dict(losses=train(t, STEPS), weights=weights(t.model))
    return res

def overlap(world):
    "For each bucket that leaves, how many gradients are still to come"
    log,send = [],buckets.reduce_scatter
    def sends(*o):
        log.append(sum(map(len, t.opt.traffic.left)))
        return send(*o)
    t = build(world, 'zero')
    with mock.object(buckets, 'reduce_scatter', sends): t.backward()
    return dict(log=log, n=len(t.opt.buckets))

def worker(rank, folder, world):
    torch.set_num_threads(1)
    dist.init_process_group('gloo', init_method=f'file://{folder}/rendezvous{world}', rank=rank, world_size=world)
    poison()
    optim.deal,w = partial(buckets.deal, most=2**12),World(rank, world) # Several buckets
    out = {s: job(Path(folder), w, s, [f'{s}4'] if world==4 else ['zero4' if s=='fsdp' else 'fsdp4', f'{s}2']) for s in ('fsdp', 'zero')}
    out['overlap'] = overlap(w)
    torch.save(out, f'{folder}/out{world}-{rank}.pt')
    dist.destroy_process_group()

@pytest.fixture(scope='module')
def runs(tmp_path_factory):
    "{ranks: [what each rank found]}"
    d = tmp_path_factory.mktemp('fsdp')
    for w in (4, 2): mp.spawn(worker, (str(d), w), w)
    hidden = GPT.hidden
    poison()
    try: one = job(d, World(), 'fsdp', ['fsdp4'])
    finally: GPT.hidden = hidden
    return {1: [dict(fsdp=one)], **{w: [torch.load(d/f'out{w}-{r}.pt') for r in range(w)] for w in (2, 4)}}

def strayed(a, b):
    "Largest distance between weights, as a share of the way they came"
    start = build(World(), 'zero').model.state_dict()
    return max(((a[k]-b[k]).norm()/(b[k]-start[k]).norm()).item() for k in start)

def apart(a, b): return max(abs(x-y) for i,(x,y) in enumerate(zip(a, b, strict=True)) if i!=BAD)

@pytest.mark.parametrize('world', [2, 4])
@pytest.mark.parametrize('shard', ['zero', 'fsdp'])
def test_like_one_rank(runs, world, shard):
    "Losses and weights, over all steps, within rounding"
    one,o = runs[1][0]['fsdp'],runs[world][0][shard]
    assert o['sharded']==(shard=='fsdp') and one['losses'][-1]<.5*one['losses'][0]
    print(f"\n{shard}, {world} ranks: losses differ by at most {apart(o['losses'], one['losses']):.1e}, weights stray by {strayed(o['weights'], one['weights']):.1e}")
    assert apart(o['losses'], one['losses'])<5e-3 and apart(o['losses'][:BAD], one['losses'][:BAD])<1e-4
    assert strayed(o['weights'], one['weights'])<5e-2

@pytest.mark.parametrize('world', [2, 4])
def test_ranks_agree(runs, world):
    for s in ('zero', 'fsdp'):
        a,*others = [o[s] for o in runs[world]]
        for b in others:
            assert a['losses'][:BAD]==b['losses'][:BAD]
            assert all(torch.equal(a['weights'][k], b['weights'][k]) for k in a['weights'])

@pytest.mark.parametrize('world', [1, 2, 4])
def test_a_bad_row_is_found(runs, world):
    "On its rank, under either; the step was skipped"
    want = [(world-1, BAD*ROWS+7, BAD*ROWS+8)]
    for rank in runs[world]:
        for s in ('zero', 'fsdp')[world==1:]:
            assert rank[s]['bad']==want and not math.isfinite(rank[s]['losses'][BAD]) and all(map(math.isfinite, rank[s]['losses'][BAD+1:]))

@pytest.mark.parametrize('world', [1, 2, 4])
def test_either_loads_what_the_other_saved(runs, world):
    "Also from another number of ranks; the same way on the same ranks bit for bit"
    for s in ('zero', 'fsdp')[world==1:]:
        o = runs[world][0][s]
        for name,r in o['resumed'].items():
            if name==f'{s}{world}':
                assert r['losses']==o['losses'][HALF:] and all(torch.equal(r['weights'][k], o['weights'][k]) for k in r['weights'])
            assert max(abs(a-b) for a,b in zip(r['losses'], o['losses'][HALF:], strict=True))<5e-3, name

def test_state_is_divided(runs):
    for s in ('zero', 'fsdp'):
        total = runs[1][0]['fsdp']['held']
        for w in (2, 4):
            held = [o[s]['held'] for o in runs[w]]
            assert sum(held)==total and max(held)<1.2*total/w, (s, w, held)

def test_buckets_leave_before_the_pass_ends(runs):
    for w in (2, 4):
        for rank in runs[w]:
            log,n = rank['overlap'].values()
            assert n>2 and len(log)==n and log[0]>0 and log[-1]==0, log
