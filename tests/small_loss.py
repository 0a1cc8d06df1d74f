"""What a change costs in loss: the same small model from the same start on the same batches, with and without it, for some seeds; not run by pytest.

    python tests/small_loss.py float8 ../shared/data/prose --steps 600 --seeds 3 --out float8.json
    python tests/small_loss.py layer_weights ../shared/data/prose --depth 2 --vocab 1024 --steps 500 --times 4

On a processor the rounding of float8 is that of a GPU, the products themselves are emulated (`04c_float8`)."""
import gzip, json, math, time
from dataclasses import replace
from pathlib import Path
from statistics import fmean
import torch
from fastcore.script import call_parse
from trionyx.attention import norm
from trionyx.compute import set_compute
from trionyx.core import TrionyxError, atomic_write
from trionyx.model import GPT, mlp
from trionyx.optim import make_optimizer
from trionyx.plan import Machine, make_plan
from trionyx.tokenizer import train_tokenizer

def documents(folder, most=1_000_000):
    "Texts of every kind, up to `most` characters of each"
    for f in sorted(Path(folder).glob('*.jsonl.gz')):
        n = 0
        for l in gzip.open(f, 'rt'):
            t = json.loads(l)['text'][:20_000]
            n += len(t)
            yield t
            if n>most: break

def rows_of(docs, tok, seq):
    "(rows, seq+1) tokens, shuffled; documents end to end"
    ids = torch.tensor([o for t in docs for o in (tok.bos, *tok.encode(t))])
    ids = ids[:len(ids)//(seq+1)*(seq+1)].view(-1, seq+1)
    return ids[torch.randperm(len(ids), generator=torch.Generator().manual_seed(0))]

def float8(m):
    "The layers' products in float8"
    set_compute(m, fp8=True)
    return []

def layer_weights(m):
    "A learned weight for each channel after the two norms of a layer, 1 at the start"
    ws = [torch.ones(m.cfg.dim, device=m.embed.device, requires_grad=True) for _ in range(2*len(m.blocks))]
    def _layer(b, w1, w2): # As in `Block.layer`
        def _run(x, x0, r, s, ve, *args):
            x = r*x + s*x0
            x = x + b.linear(b.attention(norm(x)*w1.to(x.dtype), ve, *args), b.o)[0]
            return x + mlp(norm(x)*w2.to(x.dtype), b.up, b.down)
        return _run
    for b,*w in zip(m.blocks, ws[::2], ws[1::2]): b.layer = _layer(b, *w)
    return ws

def head_weight(m):
    "A learned weight for each channel before the head, 1 at the start"
    w,hidden = torch.ones(m.cfg.dim, device=m.embed.device, requires_grad=True),m.hidden
    m.hidden = lambda *args, **kw: (h := hidden(*args, **kw))*w.to(h.dtype)
    return [w]

def norm_weights(m):
    "Both"
    return layer_weights(m)+head_weight(m)

def train(plan, rows, held, seed, change=None, rate=.01, dtype=torch.float32, dev='cpu'):
    "Losses of all steps, and of held-out rows at the end; `change` alters the model and gives weights of its own, which AdamW moves at `rate`"
    m = GPT(plan.model).init_weights(seed).to(dev)
    m.compute_dtype = dtype
    opt,g,losses,own = make_optimizer(m, plan.rates, dtype=dtype),torch.Generator().manual_seed(seed),[],change(m) if change else []
    adam = torch.optim.AdamW(own, betas=plan.rates.betas, weight_decay=0) if own else None
    for step in range(plan.steps):
        b = rows[torch.randint(len(rows), (plan.batch//plan.model.seq,), generator=g)].to(dev)
        loss = m.loss(b[:,:-1], b[:,1:])
        loss.backward()
        opt.set_step(step, plan.steps)
        opt.step()
        opt.zero_grad()
        if adam:
            adam.param_groups[0]['lr'] = rate*opt.rate_at(step, plan.steps)
            adam.step()
            adam.zero_grad()
        losses.append(loss.item())
    with torch.no_grad(): held_out = torch.stack([m.loss(o[:,:-1], o[:,1:]) for o in held.to(dev).split(16)]).mean().item()
    return losses,held_out

CHANGES = {o.__name__: o for o in (float8, layer_weights, head_weight, norm_weights)}

def main(
    change:str,        # float8, layer_weights, head_weight, norm_weights
    folder:str,        # Of JSONL files
    depth:int=3,       # Of the model
    vocab:int=2048,    # Tokens
    seq:int=256,       # Of context
    batch:int=2048,    # Tokens of a step
    steps:int=600,     # Of training
    seeds:int=3,       # How many
    times:float=1.,    # All learning rates of the plan, as a multiple
    rate:float=.01,    # Learning rate of what the change adds
    dtype:str='float32', # Of what is not float8
    most:int=99,       # Runs in this call; those in `out` are not run again
    out:str=''         # JSON
):
    "Compare losses with and without a change"
    if change not in CHANGES: raise TrionyxError(f'expected one of {", ".join(CHANGES)}, found {change!r}')
    said = dict(change=change, depth=depth, vocab=vocab, seq=seq, batch=batch, steps=steps, times=times, rate=rate, dtype=dtype)
    old = json.loads(Path(out).read_text()) if out and Path(out).exists() else dict(said, runs=[])
    if odd := {k: old.get(k) for k,v in said.items() if old.get(k)!=v}: raise TrionyxError(f'expected runs with these settings in {out}, found {odd}. Name another file.')
    torch.set_num_threads(1)
    docs = list(documents(folder))
    tok = train_tokenizer(docs, vocab)
    rows = rows_of(docs, tok, seq)
    held,rows = rows[:256],rows[256:]
    plan = make_plan(depth, vocab, seq, batch=batch, steps=steps, machine=Machine(gpus=1), head_dim=64)
    plan = replace(plan, rates=plan.rates.times(times))
    print(f'{plan.model.n_params:,} parameters, {len(rows):,} rows, {held.numel():,} held-out tokens', flush=True)
    res = old['runs']
    todo = [(seed, how) for seed in range(seeds) for how in ('', change)][len(res):]
    for seed,how in todo[:most]:
        t0 = time.time()
        losses,h = train(plan, rows, held, seed, CHANGES.get(how), rate, getattr(torch, dtype))
        res.append(dict(seed=seed, change=how, held_out=h, last=fmean(losses[-100:]), losses=losses))
        print(dict(seed=seed, change=how, held_out=round(h, 5), last=round(res[-1]['last'], 5), secs=round(time.time()-t0)), flush=True)
        if out: atomic_write(out, json.dumps(dict(said, runs=res)))
        if how: assert abs(losses[0]-res[-2]['losses'][0])<.05, 'a change begins where the model does'
    for k in ('held_out', 'last') if len(res)>3 else ():
        d = torch.tensor([b[k]-a[k] for a,b in zip(res[::2], res[1::2])], dtype=torch.float64)
        print(f'{k}: with {change} - without = {d.mean():+.5f} nats per token, standard error {d.std()/math.sqrt(len(d)):.5f}; {d.mean()/torch.tensor([a[k] for a in res[::2]]).mean():+.3%}')

if __name__=='__main__': call_parse(main)
