"""Benchmarks on real bundles and on several ranks: every answer that of one item at a time, the same numbers for any ranks and batches, none lost or repeated in training.
As a script, under torchrun: `test_bench.py HOME OPTIONS` trains a run with benchmarks on the way."""
import json, os, shutil, subprocess, sys, time
from functools import cache
from pathlib import Path
import numpy as np, pytest, torch
from trionyx.core import test_data

WORDS = 'fox council records year quick brown asks last'.split()
RUN = dict(data='toy', depth=2, seq=32, batch=512, steps=30, micro=4, dtype='float32', device='cpu', eval_every=0, eval_tokens=400, norms_every=0,
           save_secs=0, bench_every=10, bench_limit=6)

def main(home, options):
    "Train on this rank; `stop` ends it after that step, `die` kills it inside the benchmark of that step"
    import torch.distributed as dist
    from trionyx import bench
    from trionyx.train import Progress
    os.environ['TRIONYX_HOME'],stop,die = str(home),options.pop('stop', None),options.pop('die', None)
    torch.set_num_threads(1)
    if stop:
        class Stop(Progress):
            def after_step(self, t): t.ask_stop = t.step==stop-1
        from trionyx import run
        run.Progress = Stop
    if die:
        old = bench.Benchmarks.run
        def last(self, t):
            if t.step==die: time.sleep(1); os._exit(9)
            old(self, t)
        bench.Benchmarks.run = last
    try: bench.pretrain_and_bench(**{**RUN, **options}, bench_bundle=str(home/'bundle'))
    except KeyboardInterrupt: pass
    if dist.is_initialized(): dist.destroy_process_group()

if __name__=='__main__':
    main(Path(sys.argv[1]), json.loads(sys.argv[2]))
    sys.exit()

# ---- a corpus, a bundle, runs

def write_bundle(folder):
    "Two tasks, and one whose file is missing"
    def entry(k, kind, n): return dict(label=k, icl_task_type=kind, num_fewshot=[n], dataset_uri=f'{k}.jsonl')
    items = dict(copy=[dict(context=f'say {w}:', continuation=w) for w in WORDS],
                 who=[dict(query=f'say {w}:', choices=[v, w, f'{w} {w}'], gold=1) for w,v in zip(WORDS, WORDS[1:])])
    (folder/'eval_data').mkdir(parents=True)
    (folder/'core.yaml').write_text(json.dumps(dict(icl_tasks=[entry('copy', 'language_modeling', 1), entry('who', 'multiple_choice', 2), entry('gone', 'schema', 0)])))
    for v in ('', '_v2'): (folder/f'eval_meta_data{v}.csv').write_text('Eval Task,Random baseline\ncopy,0\nwho,33.3\ngone,50')
    for k,v in items.items(): (folder/'eval_data'/f'{k}.jsonl').write_text('\n'.join(map(json.dumps, v)))

@pytest.fixture(scope='module')
def home(tmp_path_factory):
    from trionyx.shards import write_shards
    from trionyx.tokenizer import train_tokenizer
    h,lines = tmp_path_factory.mktemp('bench'),[f'say {w}: {w}\n\nsay {v}: {v}' for w in WORDS for v in WORDS if v!=w]
    tok = train_tokenizer(lines*9, vocab=300)
    tok.save(h/'tokenizer/toy')
    ids = [[tok.bos, *tok.encode(o)] for o in lines]
    write_shards(h/'data/toy', dict(copy=dict(train=ids[8:]*120, val=ids[:8])), tok.n_vocab, tok.hash)
    write_bundle(h/'bundle')
    return h

def train(home, ranks=1, ok=True, **options):
    cmd = ['-m', 'torch.distributed.run', '--standalone', f'--nproc_per_node={ranks}'] if ranks>1 else []
    r = subprocess.run([sys.executable, *cmd, __file__, str(home), json.dumps(options)], env={**os.environ, 'OMP_NUM_THREADS':'1', 'TQDM_DISABLE':'1'}, capture_output=True, text=True, timeout=300)
    assert (r.returncode==0)==ok, r.stdout[-2000:]+r.stderr[-3000:]
    return r.stdout

def measured(home, name):
    lines = map(json.loads, (home/'runs'/name/'metrics.jsonl').read_text().splitlines())
    return {o['step']: o for o in lines if 'bench_secs' in o}

# ---- in training

def test_two_ranks_measure_what_one_does(home):
    said = train(home, 2, name='two', bench_every=15)
    one = train(home, 1, name='one', bench_every=15)
    assert '% of the time so far' in said and said.count('| benchmarks')==one.count('| benchmarks')==2
    a,b = measured(home, 'two'),measured(home, 'one')
    assert list(a)==list(b)==[15, 30]
    for s in a:
        assert a[s]['bench_bpb']==pytest.approx(b[s]['bench_bpb'], rel=1e-3)
        assert a[s]['bench_core_covers']=='2 of 3 tasks, without gone, 12 items'
    rec = json.loads((home/'runs/two/bench/step-000030/core.json').read_text())
    assert rec['world']==2 and {'bundle_sha256', 'baselines', 'dtype', 'seq', 'step', 'tokenizer', 'limit'} <= set(rec['settings'])
    assert set(rec['result']['by_baselines'])=={'v1', 'v2'} and {'python', 'torch', 'commit'} <= set(rec['versions'])

def test_stopped_and_resumed_measures_each_step_once(home):
    train(home, name='whole')
    said = train(home, name='parts', stop=14)+train(home, name='parts')
    assert said.count('| benchmarks')==3
    a,b = measured(home, 'whole'),measured(home, 'parts')
    assert list(a)==list(b)==[10, 20, 30]
    for s in a: assert {k: v for k,v in a[s].items() if k!='bench_secs'}=={k: v for k,v in b[s].items() if k!='bench_secs'}
    assert '| benchmarks' not in train(home, name='parts')

def test_what_was_measured_of_steps_ahead_is_dropped(home):
    "A run goes on from step 14; folders of steps 20 and 40 are of another history, and look as if they could be reused"
    train(home, name='stale', stop=14)
    bench = home/'runs/stale/bench'
    for n in (20, 40):
        shutil.copytree(bench/'step-000010', bench/f'step-{n:06d}')
        for f in (bench/f'step-{n:06d}').iterdir(): f.write_text(json.dumps((o := json.loads(f.read_text())) | dict(settings={**o['settings'], 'step':n})))
    train(home, name='stale')
    assert sorted(o.name for o in bench.glob('step-*'))==['step-000010', 'step-000020', 'step-000030']
    a,b = measured(home, 'whole'),measured(home, 'stale')
    assert a[20]['bench_bpb']==b[20]['bench_bpb']!=b[10]['bench_bpb']

def test_killed_inside_a_benchmark_makes_up_for_it(home):
    train(home, name='killed', ok=False, die=20)
    assert list(measured(home, 'killed'))==[10]
    train(home, name='killed')
    assert list(measured(home, 'killed'))==[10, 20, 30]

# ---- numbers

@pytest.fixture(scope='module')
def small_model(home):
    from trionyx.model import GPT, GPTConfig
    from trionyx.tokenizer import Tokenizer
    tok = Tokenizer.load((home/'tokenizer/toy').as_posix())
    model = GPT(GPTConfig(depth=2, vocab=tok.n_vocab, seq=24, head_dim=16, aspect=16)).init_weights(0).eval()
    for p in model.parameters(): p.data += .1*torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel()))
    return model,tok

def test_bpb_for_any_batches_and_ranks(small_model):
    from hypothesis import given, settings, strategies as st
    from trionyx.bench import doc_nats, pieces
    from trionyx.core import World
    (model,tok),rng = small_model,np.random.default_rng(0)
    docs = [[tok.bos, *rng.integers(0, tok.bos, n).tolist()] for n in (1, 5, 23, 24, 25, 60, 0, 48)]
    tb = tok.token_bytes()
    def direct(d):
        xs = [torch.tensor(p) for p in pieces(d, 24)]
        return sum(torch.nn.functional.cross_entropy(model(x[None,:-1])[0], x[1:], reduction='sum').item() for x in xs),sum(int(tb[i]) for i in d[1:])
    with torch.no_grad(): want = np.array([direct(d) for d in docs])
    @settings(max_examples=25)
    @given(st.integers(1, 300), st.integers(1, 5), st.permutations(range(len(docs))))
    def same(max_tokens, world, order):
        got = sum(doc_nats(model, [docs[i] for i in order], tb, max_tokens, World(r, world)) for r in range(world))
        np.testing.assert_allclose(got, want[list(order)], rtol=1e-5, atol=1e-4)
    same()

def test_scores_for_any_batches_and_ranks(small_model):
    from hypothesis import given, settings, strategies as st
    from trionyx.core import World
    from trionyx.icl import Row, score_rows
    model,tok = small_model
    ids = st.lists(st.integers(0, 5), min_size=1, max_size=20) # So few that rows begin alike
    rows = st.lists(st.tuples(ids, st.integers(1, 20)).map(lambda o: Row((tok.bos, *o[0]), min(o[1], len(o[0])+1), len(o[0])+1)), min_size=1, max_size=12)
    def direct(r):
        z,y = model(torch.tensor([r.ids]))[0,r.start-1:-1],torch.tensor(r.ids[r.start:])
        return torch.nn.functional.cross_entropy(z, y, reduction='sum').item() if len(y) else 0.,(z.argmax(-1)==y).sum().item()
    @settings(max_examples=60)
    @given(rows, st.integers(1, 200), st.integers(1, 3))
    def same(rs, max_tokens, world):
        got = sum(score_rows(model, rs, max_tokens, World(r, world)) for r in range(world))
        with torch.no_grad(): np.testing.assert_allclose(got, np.array([direct(r) for r in rs]), rtol=1e-4, atol=1e-4)
    same()

# ---- real bundles

@cache
def bundle_of(name, limit, steps):
    "Tasks of a bundle with their items, and a small model that knows a little of them"
    from core_speed import a_model, item_texts
    from trionyx.bundle import read_bundle, read_items
    tasks = {t.label: (t, read_items(t, limit)) for t in read_bundle(test_data()/name).tasks}
    return tasks,a_model([s for t,o in tasks.values() for s in item_texts(t, o)], vocab=2048, depth=2, aspect=32, steps=steps)

def same_answers(name, label, some=slice(None), limit=None, steps=150):
    "How many items of a task had the same answer, within the same losses"
    from core_speed import compare
    tasks,(model,tok) = bundle_of(name, limit, steps)
    r = compare(model, tok, *tasks[label], some=some)
    print(f"{name} {label} {some.start or 0}: {r['items']} items, {r['right']} right, {r['differ']} answers differ, losses by {r['loss']:.1e}")
    assert not r['differ'] and not r['hits'] and r['loss']<1e-5, r
    return r['items']

needs_data = pytest.mark.skipif(not test_data(), reason='no ../shared/data')

@needs_data
def test_every_answer_is_that_of_one_at_a_time():
    name = 'eval_bundle_small'
    assert [same_answers(name, k, limit=11, steps=20) for k in bundle_of(name, 11, 20)[0]]==[11]*21

MANY = 4_000 # Items of a case
def parts():
    "All items of both bundles, in cases of a few minutes at most"
    from trionyx.bundle import read_bundle, read_text
    tasks = [(name, t) for name in ('eval_bundle_small', 'eval_bundle_part') for t in read_bundle(test_data()/name).tasks]
    return [(name, t.label, i) for name,t in tasks for i in range(0, read_text(t.path).count('\n')+1, MANY)]

@pytest.mark.parametrize('name,label,start', parts() if test_data() and 'TRIONYX_SLOW' in os.environ else [])
def test_every_answer_of_whole_bundles(name, label, start):
    "31 cases and a few more, an hour of one core: TRIONYX_SLOW=1 runs them"
    n = len(bundle_of(name, None, 150)[0][label][1])
    assert same_answers(name, label, slice(start, start+MANY))==min(MANY, n-start)

@needs_data
def test_whole_bundles_are_whole():
    from trionyx.bundle import read_bundle, read_text
    sizes = {n: [read_text(t.path).count('\n')+1 for t in read_bundle(test_data()/n).tasks] for n in ('eval_bundle_small', 'eval_bundle_part')}
    assert {k: (len(v), sum(v)) for k,v in sizes.items()}==dict(eval_bundle_small=(21, 3932), eval_bundle_part=(10, 30195))
