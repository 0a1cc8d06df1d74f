"""The same run on 1, 2 and 4 ranks (gloo), whole and in parts: the same rows, the same losses within rounding, the same bits on the same ranks.
As a script, under torchrun: `test_world.py HOME JOBS` trains what JOBS (JSON) names, one run after the other."""
import json, math, os, socket, subprocess, sys
from pathlib import Path
import numpy as np, pytest, torch
from safetensors.torch import load_file

STEPS,ROWS,SEQ = 120,8,32
ARGS = dict(data='d', depth=2, seq=SEQ, batch=ROWS*SEQ, steps=STEPS, eval_every=0, eval_tokens=400, rate=.5, dtype='float32', save_secs=1e9, norms_every=50, keep_last=9)
TIMES = {'secs', 'tokens_per_s', 'wait', 'stall', 'gb', 'straggler', 'slowest', 'eval_secs'}
BAD = 7*ROWS+5 # A row of step 7, in the second half of it

# ---- what each rank does

def stop_at(step):
    "A `Progress` that asks for a stop"
    from trionyx.train import Progress
    class Stop(Progress):
        def after_step(self, t): t.ask_stop = t.step==step-1
    return Stop

def poison(home):
    "Let the model give NaN for one row, wherever it is computed"
    from trionyx.model import GPT
    bad,loss = torch.tensor(json.loads((home/'bad.json').read_text())),GPT.loss
    GPT.loss = lambda self, x, y, **kw: loss(self, x, y, **kw)*(math.nan if x.shape[1]==SEQ and (x==bad).all(1).any() else 1)

def main(home, jobs):
    from trionyx import run
    import torch.distributed as dist
    os.environ['TRIONYX_HOME'],rank = str(home),int(os.environ.get('RANK', 0))
    torch.set_num_threads(1)
    for job in jobs:
        job,said = dict(job),''
        run.Progress = stop_at(job.pop('stop', 0))
        if job.pop('poison', False): poison(home)
        try: run.pretrain(**{**ARGS, **job})
        except (KeyboardInterrupt, ValueError) as e: said = str(e) or 'stopped'
        (home/f"said-{job['name']}-{rank}.txt").write_text(said)
    if dist.is_initialized(): dist.destroy_process_group()

if __name__=='__main__':
    main(Path(sys.argv[1]), json.loads(sys.argv[2]))
    sys.exit()

# ---- what is asked of it

def train(home, ranks, *jobs):
    cmd = ['-m', 'torch.distributed.run', '--standalone', f'--nproc_per_node={ranks}'] if ranks>1 else []
    r = subprocess.run([sys.executable, *cmd, __file__, str(home), json.dumps(jobs)], env={**os.environ, 'OMP_NUM_THREADS':'1'}, capture_output=True, text=True, timeout=300)
    assert r.returncode==0, r.stdout[-2000:]+r.stderr[-3000:]
    return r.stdout

def agents(home, *jobs):
    "Two torchrun agents of one rank each, as on two nodes"
    with socket.socket() as s: s.bind(('127.0.0.1', 0)); port = s.getsockname()[1]
    cmd = [sys.executable, '-m', 'torch.distributed.run', '--nnodes=2', '--nproc_per_node=1', '--rdzv-backend=c10d', f'--rdzv-endpoint=127.0.0.1:{port}', '--rdzv-id=two', '--local-addr=127.0.0.1', __file__, str(home), json.dumps(jobs)]
    ps = [subprocess.Popen(cmd, env={**os.environ, 'OMP_NUM_THREADS':'1'}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for _ in range(2)]
    said = [p.communicate(timeout=300)[0] for p in ps]
    assert not any(p.returncode for p in ps), '\n'.join(o[-2000:] for o in said)

def corpus(home):
    "Two sources of random words"
    from trionyx.shards import write_shards
    from trionyx.tokenizer import train_tokenizer
    rng = np.random.default_rng(0)
    words = [''.join(rng.choice(list('abcdefghij'), rng.integers(2, 6))) for _ in range(60)]
    texts = {k: [' '.join(rng.choice(words[a:b], rng.integers(5, 60))) for _ in range(400)] for k,a,b in (('web', 0, 40), ('foi', 20, 60))}
    tok = train_tokenizer(sum(texts.values(), []), 300)
    tok.save(home/'tokenizer/d')
    ids = {k: [[tok.bos, *tok.encode(t)] for t in v] for k,v in texts.items()}
    write_shards(home/'data/d', {k: dict(train=v[20:], val=v[:20]) for k,v in ids.items()}, tok.n_vocab, tok.hash)

@pytest.fixture(scope='module')
def home(tmp_path_factory):
    "Runs named by ranks and micro-batch; `parts` goes from 4 ranks to 1 to 2, `again` is stopped on 2 and goes on on 2"
    h = tmp_path_factory.mktemp('world')
    corpus(h)
    train(h, 4, dict(name='w4m1', micro=1), dict(name='parts', micro=2, stop=40))
    train(h, 1, dict(name='w1m8', micro=8), dict(name='w1m2', micro=2), dict(name='parts', micro=4, stop=80))
    train(h, 2, dict(name='w2m4', micro=4), dict(name='parts', micro=4), dict(name='again', micro=4, stop=47))
    train(h, 2, dict(name='again', micro=4))
    return h

RUNS = 'w1m2 w2m4 w4m1 parts'.split()
def lines(home, name, f='metrics.jsonl'): return [json.loads(l) for l in (home/'runs'/name/f).read_text().splitlines()]
def steps(home, name): return [o for o in lines(home, name) if 'loss' in o]
def losses(home, name): return np.array([o['loss'] for o in steps(home, name)])
def tensors(home, name, step=STEPS): return {f'{p.name}/{k}': v for p in sorted((home/'runs'/name/'ckpt').glob(f'step-{step:06d}/*.safetensors')) for k,v in load_file(p).items()}

def test_it_learns(home):
    xs = losses(home, 'w1m8')
    assert len(xs)==STEPS and xs[-20:].mean() < .8*xs[0]

@pytest.mark.parametrize('name', RUNS)
def test_rows_are_the_same_in_every_step(home, name):
    assert lines(home, name, 'ledger/ledger.jsonl')==lines(home, 'w1m8', 'ledger/ledger.jsonl')
    assert [o['rows'] for o in lines(home, name, 'ledger/ledger.jsonl')]==[[i*ROWS, i*ROWS+ROWS] for i in range(STEPS)]

@pytest.mark.parametrize('name', RUNS)
def test_losses_are_the_same_within_rounding(home, name):
    a,b = losses(home, 'w1m8'),losses(home, name)
    print(f'\n{name}: largest difference {np.abs(a-b).max():.2e}, last 20 steps {np.abs(a-b)[-20:].mean():.2e}; between neighbouring steps {np.abs(np.diff(a)).mean():.2e}')
    norms = [[o['grad_norm'] for o in steps(home, n)[:5]] for n in ('w1m8', name)]
    assert np.allclose(*norms, rtol=1e-3), norms
    assert np.abs(a-b)[:5].max() < 1e-5 and np.abs(a-b).max() < 5e-3

@pytest.mark.parametrize('name', RUNS)
def test_held_out_scores_are_the_same(home, name):
    "Ranks share the sources; what they find is added up"
    a,b = [[o for o in lines(home, n) if 'val_bpb' in o] for n in ('w1m8', name)]
    for x,y in zip(a, b, strict=True):
        assert x['val_bpb']==pytest.approx(y['val_bpb'], rel=1e-3) and x['val_bpb_by_source']==pytest.approx(y['val_bpb_by_source'], rel=1e-3)
    assert set(a[0]['val_bpb_by_source'])=={'web', 'foi'} and a[0]['val_bpb_by_source']['web']!=a[0]['val_bpb_by_source']['foi']

@pytest.mark.parametrize('name', [*RUNS, 'again'])
def test_metrics_have_no_gap_and_no_repeat(home, name):
    assert [o['step'] for o in steps(home, name)]==list(range(1, STEPS+1))
    assert [o['step'] for o in lines(home, name) if 'val_bpb' in o]==[0, STEPS]
    assert [o['step'] for o in lines(home, name) if 'norms' in o]==list(range(1, STEPS, 50))

def test_same_ranks_same_bits(home):
    a,b = tensors(home, 'w2m4'),tensors(home, 'again')
    assert len(a)>10 and a.keys()==b.keys() and all(torch.equal(a[k], b[k]) for k in a)
    a,b = [[{k: v for k,v in o.items() if k not in TIMES} for o in lines(home, n)] for n in ('w2m4', 'again')]
    assert a==b
    assert lines(home, 'again', 'ledger/ledger.jsonl')==lines(home, 'w2m4', 'ledger/ledger.jsonl')

def test_two_agents(home):
    "Two nodes with a rank each are two ranks on one node, bit for bit, also when stopped and started again; with whole weights and with sharded ones"
    few = dict(micro=4, steps=20)
    train(home, 2, dict(few, name='one-zero'), dict(few, name='one-fsdp', shard='fsdp'))
    agents(home, dict(few, name='two-zero', stop=8), dict(few, name='two-fsdp', shard='fsdp', stop=8))
    agents(home, dict(few, name='two-zero'), dict(few, name='two-fsdp', shard='fsdp'))
    for k in ('zero', 'fsdp'):
        a,b = tensors(home, f'one-{k}', 20),tensors(home, f'two-{k}', 20)
        assert len(a)>10 and a.keys()==b.keys() and all(torch.equal(a[n], b[n]) for n in a), k
        assert (losses(home, f'one-{k}')==losses(home, f'two-{k}')).all() and len(losses(home, f'two-{k}'))==20
    assert np.abs(losses(home, 'one-zero')-losses(home, 'one-fsdp')).max() < 1e-3

def test_ranks_are_timed(home):
    o = steps(home, 'w4m1')[-1]
    assert o['straggler']>=1 and o['slowest'] in range(4) and 'straggler' not in steps(home, 'w1m8')[-1]
    assert set(o) >= {'secs', 'tokens_per_s', 'wait', 'stall', 'gb'}

def test_a_bad_row_is_found_on_its_rank(home):
    "One row gives NaN: stopped, skipped, and rolled back, on two ranks"
    from trionyx.ledger import run_rows
    old = os.environ.get('TRIONYX_HOME')
    os.environ['TRIONYX_HOME'] = str(home)
    try: row = run_rows(home/'runs/w2m4').row(BAD)
    finally: os.environ.pop('TRIONYX_HOME') if old is None else os.environ.update(TRIONYX_HOME=old)
    (home/'bad.json').write_text(json.dumps(row[:-1].tolist()))
    a = 7*ROWS
    few = dict(micro=2, steps=20)
    train(home, 2, dict(few, name='stop', poison=True), dict(few, name='skip', on_nonfinite='skip'), dict(few, name='back'), dict(few, name='back', rollback=f'{a}:{a+ROWS}'))
    for r in range(2):
        said = (home/f'said-stop-{r}.txt').read_text()
        assert f'at step 7. It is on rank 1 in rows {a+4} to {a+6}, documents ' in said and f'--rollback {a}:{a+ROWS}' in said, said
        assert not (home/f'said-skip-{r}.txt').read_text() and not (home/f'said-back-{r}.txt').read_text()
    assert [o.name for o in (home/'runs/stop/ckpt').iterdir()]==['step-000007']
    skip = lines(home, 'skip', 'ledger/ledger.jsonl')
    assert skip[7]==dict(step=7, rows=[a, a], skipped=[a, a+ROWS]) and len(skip)==20
    assert [o['step'] for o in steps(home, 'skip') if o.get('skipped')]==[8]
    back = lines(home, 'back', 'ledger/ledger.jsonl')
    assert [o['rows'][0]//ROWS for o in back]==[*range(7), *range(8, 20), 0]
    assert [o['loss'] for o in steps(home, 'skip')[:7]]==[o['loss'] for o in steps(home, 'stop')]==[o['loss'] for o in steps(home, 'back')[:7]]
