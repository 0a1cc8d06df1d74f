"""In-context tasks two ways, side by side: one item at a time as `11b_icl` has it for reference, and as `score_rows` reads them.
Compares every answer and loss, times both in turns (CPU seconds of one thread), and measures their memory.

    python tests/core_speed.py ../shared/data/eval_bundle_small --limit 24                     speed, at the size of a small run
    python tests/core_speed.py ../shared/data/eval_bundle_part --vocab 2048 --aspect 16        every item, with a model small enough
"""
import json, os, time
from pathlib import Path
import numpy as np, pandas as pd, torch
from torch.nn import functional as F

KINDS = dict(multiple_choice='choice', schema='schema', language_modeling='language')

def reference():
    "The plain way, from the notebook that explains it"
    nb = json.loads((Path(__file__).parents[1]/'nbs/11b_icl.ipynb').read_text())
    env = dict(torch=torch, F=F, random=__import__('random'))
    for c in (''.join(o['source']) for o in nb['cells'] if o['cell_type']=='code'):
        if 'def naive_' in c: exec(c, env)
    return env['naive_losses'],env['naive_answer']

def item_texts(task, items):
    "Prompts of some items, as text"
    from trionyx.icl import prompt_texts
    return [prompt_texts(task, items, i)[-1] for i in range(0, len(items), max(1, len(items)//40))]

def teach(model, ids, steps, seed=0):
    "A few steps on the prompts, so that some answers are right"
    opt,rng,ids = torch.optim.AdamW(model.parameters(), 3e-3),np.random.default_rng(seed),torch.tensor(ids)
    for _ in range(steps):
        x = torch.stack([ids[i:i+129] for i in rng.integers(len(ids)-129, size=8)])
        model.loss(x[:,:-1], x[:,1:]).backward()
        opt.step()
        opt.zero_grad()

def a_model(texts, vocab=32_768, depth=4, aspect=64, seq=2048, steps=0):
    "A model whose weights are not those of the start, and a tokenizer of the same texts"
    from trionyx.model import GPT, GPTConfig
    from trionyx.tokenizer import train_tokenizer
    tok = train_tokenizer(texts, vocab=vocab)
    model = GPT(GPTConfig(depth=depth, vocab=tok.n_vocab, seq=seq, aspect=aspect, head_dim=min(128, depth*aspect//2))).init_weights(0).eval()
    g = torch.Generator().manual_seed(1)
    for p in model.parameters(): p.data += .05*torch.randn(p.shape, generator=g)
    if steps: teach(model, sum((list(tok.encode(o)) for o in texts[:400]), []), steps)
    return model,tok

def peak(fn):
    "Result of `fn`, its CPU seconds, and the most memory held meanwhile, MB"
    try: Path('/proc/self/clear_refs').write_text('5')
    except OSError: pass
    t0 = time.process_time()
    res,secs = fn(),time.process_time()-t0
    hwm = next((l for l in Path('/proc/self/status').read_text().splitlines() if l.startswith('VmHWM')), 'VmHWM: 0 kB')
    return res,secs,int(hwm.split()[1])/1024

def ours(model, tok, task, items, max_tokens, some):
    "Answers, and of each candidate the mean loss and whether all its tokens are the likeliest"
    from trionyx.icl import picks, score_rows, task_rows
    rows = task_rows(task, items, tok, model.cfg.seq)[0][some]
    flat = [r for o in rows for r in o]
    s,n = score_rows(model, flat, max_tokens),np.array([r.end-r.start for r in flat])
    with np.errstate(invalid='ignore'): return picks(task.kind, rows, s),np.stack([s[:,0]/n, s[:,1]==n], 1)

def compare(model, tok, task, items, max_tokens=16_384, some=slice(None)):
    "Both ways over `some` of the items of a task"
    losses,answer = reference()
    (got,l1),s1,m1 = peak(lambda: ours(model, tok, task, items, max_tokens, some))
    l0,s0,m0 = peak(lambda: [losses(model, tok, task, items, i) for i in range(len(items))[some]])
    want,l0 = [answer(task, o) for o in l0],np.array(sum(l0, []), dtype=float)
    return dict(kind=KINDS[task.kind], items=len(want), right=sum(a==o.get('gold', 0) for a,o in zip(want, items[some])), differ=sum(int(a)!=int(b) for a,b in zip(got, want)),
                loss=np.nanmax(np.abs(l0[:,0]-l1[:,0])), hits=int((l0[:,1]!=l1[:,1]).sum()), reference=s0, ours=s1, mb_reference=m0, mb=m1)

def summed(df):
    "By kind of task: how much faster"
    g = df.groupby('kind')[['items', 'right', 'differ', 'hits', 'reference', 'ours']].sum()
    return g.assign(before=g['items']/g.reference, after=g['items']/g.ours, times=g.reference/g.ours, loss=df.groupby('kind').loss.max(),
                    mb_reference=df.groupby('kind').mb_reference.max(), mb=df.groupby('kind').mb.max())

def main(
    bundle:str,              # Folder of a bundle
    limit:int=None,          # Items a task; all if left out
    vocab:int=32_768,        # Tokens of the tokenizer, which is trained on the prompts and DATA
    depth:int=4,             # Layers of the model
    aspect:int=64,           # Its channels per layer
    seq:int=2048,            # Its context
    steps:int=0,             # Steps of training on the prompts
    max_tokens:int=16_384,   # Of a forward pass
    only:str='',             # Tasks, with commas; all if left out
    out:str=''               # Where a line a task goes, as JSON
):
    "Compare both ways on a bundle"
    from trionyx.bundle import read_bundle, read_items
    torch.set_num_threads(1)
    tasks = [(t, read_items(t, limit)) for t in read_bundle(bundle).tasks if not only or t.label in only.split(',')]
    texts = [s for t,items in tasks for s in item_texts(t, items)]
    model,tok = a_model(texts + more_text(vocab), vocab, depth, aspect, seq, steps)
    rows = {}
    for t,items in tasks:
        rows[t.label] = r = compare(model, tok, t, items, max_tokens)
        print(f"{t.label:32}", *[f'{k} {v:.4g}' if isinstance(v, float) else f'{k} {v}' for k,v in r.items()], flush=True)
        if out: open(out, 'a').write(json.dumps(dict(task=t.label, **{k: v if isinstance(v, str) else float(v) for k,v in r.items()}))+'\n')
    df = pd.DataFrame(rows).T.infer_objects()
    print(summed(df.astype({k: float for k in df if k!='kind'})).round(6).to_string())

def more_text(vocab):
    "Prose for a large vocabulary"
    import gzip
    if vocab<10_000: return []
    fs = sorted(Path(os.environ.get('TRIONYX_TEST_DATA', '../shared/data')).glob('prose/*.jsonl.gz'))
    return [json.loads(l)['text'] for f in fs for l in gzip.open(f, 'rt').readlines()[:120]]

if __name__=='__main__':
    from fastcore.script import call_parse
    call_parse(main)
