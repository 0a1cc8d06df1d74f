"""Benchmarks as a person starts them: every measure of a chat model by one command, on one rank and on two, its forecast, and two runs compared.
As a script, it trains the runs: `test_measure.py HOME`."""
import json, os, random, subprocess, sys
from pathlib import Path
import pytest

ROOT = Path(__file__).resolve().parents[1]
WORDS = 'fox council records year quick brown asks last'.split()
CHEAP = '--limit 6 --docs 4 --letters 3 --device cpu --dtype float32'.split()

def write(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('\n'.join(map(json.dumps, rows)))

def train(home):
    "A base run, and two chat models of it that differ by their steps"
    from trionyx.run import pretrain
    from trionyx.sft import sft
    from trionyx.shards import write_shards
    from trionyx.tokenizer import train_tokenizer
    tok,rng = train_tokenizer(['the quick brown fox asks the council for its records of last year '*50], 300),random.Random(0)
    ids = [[tok.bos]+tok.encode(' '.join(rng.choices(WORDS, k=20))) for _ in range(300)]
    write_shards(home/'data/toy', dict(a=dict(train=ids[20:]*3, val=ids[:20])), tok.n_vocab, tok.hash)
    tok.save(home/'tokenizer/toy')
    say = lambda *ss: [dict(role='user' if i%2==0 else 'assistant', content=s) for i,s in enumerate(ss)]
    write(home/'said.jsonl', [dict(messages=say(f'{a} {b}', f'{b} {c}')) for a in WORDS for b in WORDS for c in WORDS])
    kw = dict(dtype='float32', device='cpu', save_secs=0)
    pretrain('base', 'toy', depth=1, seq=96, batch=768, steps=20, **kw)
    for name,steps in (('chat', 2), ('later', 12)): sft('base', name, data=f'said={home}/said.jsonl', steps=steps, batch=768, **kw)

def questions(home):
    qs = [dict(question=f'{a} {b}?', choices=[a, b, 'year', 'last'], answer=i%4) for i,(a,b) in enumerate(zip(WORDS*2, WORDS[1:]*2))]
    for k in ('mmlu_test', 'arc_easy', 'arc_challenge'): write(home/f'evals/{k}.jsonl', qs)
    write(home/'evals/gsm8k_test.jsonl', [dict(question=f'{a} {i}?', answer=f'#### {i}') for i,a in enumerate(WORDS)])
    task = dict(prompt='def two():\n    """Two"""\n', entry_point='two', test='def check(f): assert f()==2', canonical_solution='    return 2\n')
    write(home/'evals/HumanEval.jsonl', [dict(task, task_id=f'T/{i}') for i in range(3)])
    bundle = home/'evals/eval_bundle'
    (bundle/'eval_data').mkdir(parents=True)
    (bundle/'core.yaml').write_text(json.dumps(dict(icl_tasks=[dict(label='who', icl_task_type='multiple_choice', num_fewshot=[1], dataset_uri='who.jsonl')])))
    (bundle/'eval_meta_data.csv').write_text('Eval Task,Random baseline\nwho,25')
    write(bundle/'eval_data/who.jsonl', [dict(query=q['question'], choices=q['choices'], gold=q['answer']) for q in qs])

def run(home, *args, ranks=1, script='bench', fails=False):
    torchrun = ['-m', 'torch.distributed.run', '--standalone', f'--nproc_per_node={ranks}'] if ranks>1 else []
    env = {**os.environ, 'TRIONYX_HOME':str(home), 'OMP_NUM_THREADS':'1', 'TQDM_DISABLE':'1'}
    p = subprocess.run([sys.executable, *torchrun, str(ROOT/f'scripts/{script}.py'), *map(str, args)], env=env, text=True, capture_output=True, cwd=home, timeout=300)
    assert bool(p.returncode)==fails, p.stdout[-2000:]+p.stderr[-3000:]
    return p.stderr.strip().splitlines()[-1] if fails else p.stdout

@pytest.fixture(scope='module')
def home(tmp_path_factory):
    h = tmp_path_factory.mktemp('home')
    subprocess.run([sys.executable, __file__, str(h)], check=True, env={**os.environ, 'TRIONYX_HOME':str(h), 'OMP_NUM_THREADS':'1', 'TQDM_DISABLE':'1', 'PYTHONPATH':str(ROOT)}, capture_output=True)
    questions(h)
    return h

def records(home, name): return {p.stem: json.loads(p.read_text()) for p in sorted((home/'runs'/name/'bench').glob('*.json'))}

def numbers(o):
    "A result without the times"
    return {k: numbers(v) for k,v in o.items() if k!='seconds'} if isinstance(o, dict) else o

def test_all_on_one_rank_and_two(home):
    from trionyx.measure import JOBS
    out = run(home, 'chat', '--all', *CHEAP)
    one = records(home, 'chat')
    assert set(one)==set(JOBS) and 'MMLU' in out and 'pass@1' in out and 'not measured' not in out
    assert all({'questions', 'shards', 'letters', 'bundle_sha256'} & set(v['settings']) and v['settings']['weights'] and v['versions']['torch'] for v in one.values())
    run(home, 'chat', '--all', '--force', *CHEAP, ranks=2)
    two = records(home, 'chat')
    assert {v['world'] for v in two.values()}=={2}
    for k in one:
        a,b = numbers(one[k]['result']),numbers(two[k]['result'])
        if k!='bpb': assert a==b, k
        else: assert abs(a['bpb']-b['bpb'])<1e-5

def test_forecast_and_what_cannot_be_measured(home):
    out = run(home, 'base', '--all', '--dry-run', *CHEAP)
    assert 'mmlu: not measured, it is a base model' in out and 'mmlu_text:' in out and 'base: about' in out
    assert not (home/'runs/base/bench').exists()
    write(home/'bad/mmlu_test.jsonl', [dict(question='?', choices=['a','b'], answer=0), dict(question='?', choices=['a','b'], answer=2)])
    assert 'mmlu_test.jsonl, line 2' in run(home, 'later', '--what', 'mmlu', '--evals', home/'bad', fails=True)

def test_a_part_takes_no_place_of_the_whole(home):
    "Fewer items are stored beside more, whatever was meant; asked again, both are found"
    few = [o for o in CHEAP if o not in ('--limit', '6')]
    whole,part = [run(home, 'later', '--what', 'mmlu,core', *o) for o in (few, CHEAP)]
    d = home/'runs/later/bench'
    def n(k): return [json.loads(p.read_text())['result']['n'] for p in (d/f'{k}.json', d/f'part/{k}.json')]
    assert n('mmlu')==[16, 6] and 'mmlu: over 6 items, stored in part/ beside the one over 16' in part and '1 of 1 tasks, 6 items' in part
    before = (d/'mmlu.json').stat().st_mtime_ns,(d/'part/mmlu.json').stat().st_mtime_ns
    for o in (few, CHEAP): run(home, 'later', '--what', 'mmlu', *o)
    assert before==((d/'mmlu.json').stat().st_mtime_ns,(d/'part/mmlu.json').stat().st_mtime_ns)
    assert '1 of 1 tasks, 16 items' in run(home, '--compare', 'later')
    for o in (*d.glob('*.json'), *d.glob('part/*.json')): o.unlink()

KILLER = """import os, sys
from trionyx import bench, measure
old,n = bench.run_task,[0]
def run_task(*o):
    n[0] += 1
    if n[0]==2: os.kill(os.getpid(), 9)
    return old(*o)
bench.run_task = run_task
measure.bench('base', what='bpb,core', bundle='two', device='cpu', dtype='float32')"""

def test_killed_inside_core_goes_on_with_its_task(home):
    b = home/'evals/two'
    (b/'eval_data').mkdir(parents=True)
    (b/'core.yaml').write_text(json.dumps(dict(icl_tasks=[dict(label=k, icl_task_type='multiple_choice', num_fewshot=[1], dataset_uri='who.jsonl') for k in ('one', 'two')])))
    (b/'eval_meta_data.csv').write_text('Eval Task,Random baseline\none,25\ntwo,25')
    (b/'eval_data/who.jsonl').write_bytes((home/'evals/eval_bundle/eval_data/who.jsonl').read_bytes())
    env = {**os.environ, 'TRIONYX_HOME':str(home), 'OMP_NUM_THREADS':'1', 'PYTHONPATH':str(ROOT)}
    assert subprocess.run([sys.executable, '-c', KILLER], env=env, capture_output=True).returncode==-9
    d = home/'runs/base/bench'
    assert sorted(str(o.relative_to(d)) for o in d.rglob('*.json'))==['bpb.json', 'core-tasks/one.json']
    kept = json.loads((d/'core-tasks/one.json').read_text())['result']
    run(home, 'base', '--what', 'bpb,core', '--bundle', 'two', '--device', 'cpu', '--dtype', 'float32')
    tasks = json.loads((d/'core.json').read_text())['result']['tasks']
    assert list(tasks)==['one', 'two'] and {k: v for k,v in tasks['one'].items() if k!='centred'}==kept and not (d/'core-tasks').exists()

def test_compared(home):
    "What is measured already is read from the files; two runs get the post's columns and a verdict"
    old = records(home, 'chat')
    run(home, 'chat', 'later', '--what', 'mmlu,foi', *CHEAP)
    assert records(home, 'chat')==old and set(records(home, 'later'))=={'mmlu', 'foi'}
    out = run(home, '--compare', 'chat', 'later')
    assert '2B (quoted)' in out and '48.2%' in out and '0.734' in out
    assert any(o.startswith('mmlu: ') and o.endswith(('beyond noise.', 'within noise.', 'score the same.')) for o in out.splitlines())

if __name__=='__main__': train(Path(sys.argv[1]))
