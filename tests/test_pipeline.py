"What one process cannot show: the scripts as a person starts them, several ranks, kill -9, and every kind of bad input"
import contextlib, gzip, json, os, pty, re, shutil, signal, subprocess, sys, time
from pathlib import Path
import pytest
from safetensors.torch import load_file
from torch import equal, allclose

ROOT = Path(__file__).resolve().parents[1]
TRAIN = '--depth 2 --seq 64 --batch 512 --micro 4 --steps 24 --eval-tokens 2000 --dtype float32 --save-secs 0'.split()

def start(home, script, *args, ranks=1, env=(), **kw):
    torchrun = ['-m', 'torch.distributed.run', '--standalone', f'--nproc_per_node={ranks}'] if ranks>1 else []
    env = {**os.environ, 'TRIONYX_HOME':str(home), 'OMP_NUM_THREADS':'1', **dict(env)}
    return subprocess.Popen([sys.executable, *torchrun, str(ROOT/'scripts'/f'{script}.py'), *map(str, args)], env=env, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=home, **kw)

def run(home, *args, fails=False, **kw):
    "Run a script; its output, or its one line of error"
    p = start(home, *args, **kw)
    out,err = p.communicate(timeout=300)
    if not fails: assert p.returncode==0, out[-2000:]+err[-2000:]; return out
    assert p.returncode==1 and 'Traceback' not in err, err
    line = err.strip().splitlines()[-1]
    assert 'expected' in line and 'found' in line, err
    return line

def weights(home, name): return load_file(sorted((home/'runs'/name/'ckpt').glob('step-*'))[-1]/'model.safetensors')

def same(a, b, close=None):
    assert a.keys()==b.keys()
    return all(equal(a[k], b[k]) if close is None else allclose(a[k], b[k], atol=close, rtol=close) for k in a)

@pytest.fixture(scope='session')
def home(tmp_path_factory):
    "A prepared corpus of two sources, a tokenizer, and an unbroken run"
    h = tmp_path_factory.mktemp('home')
    run(h, 'foi', '--kind', 'docs', '--n', 400, '--out', h/'foi.jsonl')
    words = 'council river school record budget harbour station letter summer engine'.split()
    rows = [dict(id=f'w{i}', text=' '.join(words[(i*7+j*(1+i%9))%10]+str(i*j%97) for j in range(120)), license='CC0-1.0') for i in range(200)]
    with gzip.open(h/'web.jsonl.gz', 'wt') as f: f.writelines(json.dumps(o)+'\n' for o in rows)
    run(h, 'prepare', '--name', 'd', '--data', f'foi={h}/foi.jsonl,web={h}/web.jsonl.gz', '--stage', 'docs', '--workers', 1, '--held-out', '0.05')
    run(h, 'tokenizer', '--name', 'd', '--vocab', 512)
    run(h, 'prepare', '--name', 'd', '--stage', 'tokens', '--workers', 1)
    run(h, 'pretrain', '--name', 'whole', '--data', 'd', *TRAIN)
    return h

def test_stages_do_nothing_twice(home):
    assert 'already' in run(home, 'prepare', '--name', 'd', '--stage', 'tokens', '--workers', 1)
    assert 'complete' in run(home, 'tokenizer', '--name', 'd', '--vocab', 512)
    assert 'already trained' in run(home, 'pretrain', '--name', 'whole', '--data', 'd', *TRAIN)

def test_kill_9_resumes_bit_for_bit(home):
    "Killed twice at moments nobody chose; the same command ends with the same weights, losses and ledger"
    for n in (6, 15):
        p = start(home, 'pretrain', '--name', 'killed', '--data', 'd', *TRAIN)
        log = home/'runs/killed/metrics.jsonl'
        end = time.time()+120
        def far(): return log.exists() and log.read_text().count('"loss"')>=n and any((home/'runs/killed/ckpt').glob('step-*/manifest.json'))
        while time.time()<end and p.poll() is None and not far(): time.sleep(.02)
        p.send_signal(signal.SIGKILL)
        p.communicate()
        assert p.returncode==-9
    assert 'go on from step' in run(home, 'pretrain', '--name', 'killed', '--data', 'd', *TRAIN)
    assert same(weights(home, 'killed'), weights(home, 'whole'))
    def read(name, f): return [json.loads(l) for l in (home/'runs'/name/f).read_text().splitlines()]
    losses = [[(o['step'], o['loss']) for o in read(n, 'metrics.jsonl') if 'loss' in o] for n in ('killed', 'whole')]
    assert losses[0]==losses[1] and [o[0] for o in losses[0]]==list(range(1, 25))
    assert read('killed', 'ledger/ledger.jsonl')==read('whole', 'ledger/ledger.jsonl')

def test_sigint_saves(home):
    p = start(home, 'pretrain', '--name', 'stopped', '--data', 'd', *TRAIN[:-1], '600')
    while p.poll() is None and 'step 1/' not in (l := p.stdout.readline()): pass
    p.send_signal(signal.SIGINT)
    out,err = p.communicate(timeout=120)
    assert p.returncode==130 and 'goes on from what is saved' in err
    assert len(list((home/'runs/stopped/ckpt').iterdir()))==1
    run(home, 'pretrain', '--name', 'stopped', '--data', 'd', *TRAIN)
    assert same(weights(home, 'stopped'), weights(home, 'whole'))

def test_watch_redraws_while_a_run_trains(home):
    "In a terminal: the screen is cleared and drawn anew with more steps, and watching ends with the run"
    p = start(home, 'pretrain', '--name', 'watched', '--data', 'd', *TRAIN, '--steps', 150, '--eval-every', 50)
    while p.poll() is None and not (home/'runs/watched/config.json').exists(): time.sleep(.02)
    terminal,other = pty.openpty()
    w = subprocess.Popen([sys.executable, str(ROOT/'scripts/watch.py'), 'watched', '--every', '0.1'], env={**os.environ, 'TRIONYX_HOME':str(home)}, stdout=other, stderr=other, cwd=home)
    os.close(other)
    said = b''
    with contextlib.suppress(OSError):  # what a terminal says when nobody writes to it any more
        while o := os.read(terminal, 2**16): said += o
    assert (p.wait(), w.wait())==(0, 0), said[-2000:].decode(errors='replace')
    drawn = said.decode().split('\x1b[2J\x1b[H')[1:]
    steps = [int(re.search(r'watched: step (\d+)/150', o)[1]) for o in drawn]
    assert steps==sorted(steps) and len(set(steps))>3 and steps[-1]==150
    assert all('loss: ' in o and 'grad_norm: ' in o for o in drawn if 'step 0/' not in o) and 'val_bpb: ' in drawn[-1]

def test_two_ranks_equal_one(home):
    run(home, 'pretrain', '--name', 'two', '--data', 'd', *TRAIN, ranks=2)
    a,b = weights(home, 'two'),weights(home, 'whole')
    assert same(a, b, close=2e-3) and not same(a, {k: v+0.01 for k,v in b.items()}, close=2e-3)
    losses = [[json.loads(l)['loss'] for l in (home/f'runs/{n}/metrics.jsonl').read_text().splitlines() if '"loss"' in l] for n in ('two', 'whole')]
    assert max(abs(x-y) for x,y in zip(*losses))<1e-3

def test_from_run_to_letter(home):
    run(home, 'pretrain', '--name', 'base', '--data', 'd', *'--depth 2 --seq 192 --batch 768 --micro 4 --steps 4 --eval-tokens 2000 --dtype float32'.split())
    tune = ['sft', 'base', '--name', 'chat', *'--foi 60 --steps 4 --batch 768 --micro 4 --long truncate'.split()]
    run(home, *tune)
    assert 'already trained' in run(home, *tune)
    run(home, 'bench', 'base', '--what', 'bpb', '--docs', 5)
    run(home, 'bench', 'chat', '--what', 'foi', '--letters', 2)
    run(home, 'report', 'chat')
    page = (home/'runs/chat/report/index.html').read_text()
    assert '<svg' in page or 'data:image' in page
    assert not re.search(r'(src|href)="https?://[^"]*\.(js|css|png|svg)', page)
    assert run(home, 'chat', 'chat', '--max-new', 5, '-p', 'Write an FOI request to TfL about biscuits').strip()

def flip(f):
    b = bytearray(f.read_bytes()); b[len(b)//2] ^= 1; f.write_bytes(b)

@pytest.mark.parametrize('content,says', [(None, 'no.jsonl'), (b'', 'empty'), (gzip.compress(b'{"text": "x"}\n'*999, mtime=0)[:-20], ''), (b'{"text": "\xff\xfe"}\n', 'UTF-8'),
                                          (b'{"id": 1, "license": "CC0"}\n', 'text'), (b'<html></html>\n', 'JSON'), (b'{"text": "' + b'long enough '*30 + b'"}\n', 'licen')])
def test_bad_documents(home, tmp_path, content, says):
    f = tmp_path/('cut.jsonl.gz' if content and content[:2]==b'\x1f\x8b' else 'no.jsonl')
    if content is not None: f.write_bytes(content)
    line = run(home, 'prepare', '--name', tmp_path.name, '--data', f'mine={f}', '--stage', 'docs', '--workers', 1, fails=True)
    assert f.name in line and says.lower() in line.lower(), line

@pytest.mark.parametrize('args,says', [
    ('--name x --data nowhere', 'Name one of them'), ('--name whole --data d --depth 2 --seq 64 --batch 512 --steps 24 --seed 1', 'another'), ('--name x --data d --batch 500', 'Set --batch'),
    ('--name x --data d --depth 2 --seq 64 --batch 512 --steps 5 --repeat fio=2', "'fio'"), ('--name x --data d --depth 2 --seq 64 --batch 512 --steps 5 --repeat foi=1e-9', 'foi'),
    ('--name gone --data d --resume', 'gone'), ('--name x --data d --depth 2 --seq 64 --batch 64 --steps 100000000', '')])
def test_bad_arguments(home, args, says):
    assert says in run(home, 'pretrain', *args.split(), fails=True)
    assert not (home/'runs/x').exists()

def test_batch_that_ranks_cannot_divide(home):
    p = start(home, 'pretrain', '--name', 'x', '--data', 'd', '--depth', '2', '--seq', '64', '--batch', '192', '--steps', '5', ranks=2)
    out,err = p.communicate(timeout=120)
    assert p.returncode and 'Set --batch' in err

@pytest.fixture
def copy(home, tmp_path):
    "A home whose files may be damaged"
    shutil.copytree(home, tmp_path/'h')
    return tmp_path/'h'

def test_damaged_files_are_named(copy):
    shard = next((copy/'data/d/tokens/web').glob('train-*.bin'))
    flip(shard)
    assert shard.name in run(copy, 'pretrain', '--name', 'y', '--data', 'd', *TRAIN, fails=True)
    weights = next((copy/'runs/whole/ckpt').glob('*/model.safetensors'))
    flip(weights)
    assert 'verifies' in run(copy, 'chat', 'whole', '-p', 'x', fails=True)
    flip(copy/'tokenizer/d/vocab.tiktoken')
    assert 'vocab.tiktoken' in run(copy, 'prepare', '--name', 'd', '--stage', 'tokens', '--force', '--workers', 1, fails=True)

def test_tokenizer_of_other_shards(copy):
    run(copy, 'tokenizer', '--name', 'other', '--data', 'd', '--vocab', 400)
    assert 'tokenizer' in run(copy, 'pretrain', '--name', 'y', '--data', 'd', '--tokenizer', 'other', *TRAIN, fails=True)

def test_unknown_runs(home):
    for s in ('sft', 'bench', 'report', 'chat'): assert 'whole' in run(home, s, 'nobody', *(['--foi', '5'] if s=='sft' else []), fails=True)

@pytest.mark.skipif(os.geteuid()!=0 or not shutil.which('mount'), reason='needs root, to mount a small disk')
def test_full_disk(copy, tmp_path):
    "A disk too small for the second checkpoint: one clear line, and the first is still there"
    small = tmp_path/'small'
    small.mkdir()
    if subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=9m', 'tmpfs', small], capture_output=True).returncode: pytest.skip('mounting is not allowed here')
    try:
        line = run(copy, 'pretrain', '--name', f'{small}/r', '--data', 'd', *TRAIN, fails=True)
        assert 'free' in line.lower()
        assert all((o/'manifest.json').exists() for o in (small/'r/ckpt').glob('step-*'))
    finally: subprocess.run(['umount', small])
