"Preparing a corpus as a person does it: by the command line, with workers, kill -9 and bad input"
import gzip, json, os, signal, subprocess, sys, time
from pathlib import Path
import pytest
from trionyx.core import launch, read_manifest
from trionyx.corpus import prepare
from trionyx.shards import Shards
from trionyx.tokenizer import train_tokenizer

root = Path(__file__).parent.parent
prose = 'It is a truth universally acknowledged, that a single man in possession of a good fortune. '*3

def doc(i, **kw): return dict(id=str(i), text=' '.join(f'w{(i*7919+j*j*(i+1))%5003}' for j in range(60)), license='MIT') | kw # no two alike

def write(path, rows): path.write_text(''.join(json.dumps(o)+'\n' for o in rows))

def command(home, *args):
    return dict(args=[sys.executable, 'scripts/prepare.py', *map(str, args)], cwd=root, env=os.environ | dict(TRIONYX_HOME=str(home)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

def run(home, *args): return subprocess.run(**command(home, *args), timeout=120)

@pytest.fixture(scope='module')
def inputs(tmp_path_factory):
    "12 files of 200 documents, each sharing 50 with the next, and a tokenizer"
    d = tmp_path_factory.mktemp('in')
    for k in range(12): write(d/f's{k:02d}.jsonl', [doc(k*150+i) for i in range(200)])
    train_tokenizer([prose], 300).save(d/'tok')
    return d

def files(home): return {k: v['sha256'] for s in ('docs','tokens') for k,v in read_manifest(home/f'data/x/{s}')['files'].items()}

@pytest.fixture(scope='module')
def whole(inputs, tmp_path_factory):
    "What one worker makes without interruption"
    home = tmp_path_factory.mktemp('one')
    r = run(home, '--name', 'x', '--data', f'{inputs}/*.jsonl', '--tokenizer', inputs/'tok', '--workers', 1)
    assert r.returncode==0, r.stderr
    return home

def test_workers_do_not_matter(inputs, whole, tmp_path):
    r = run(tmp_path, '--name', 'x', '--data', f'{inputs}/*.jsonl', '--tokenizer', inputs/'tok', '--workers', 2)
    assert r.returncode==0 and 'INFO' not in r.stderr and 'datatrove' not in r.stderr, r.stderr
    assert files(tmp_path)==files(whole)
    sh = Shards(tmp_path/'data/x', verify=True)
    assert sum(len(sh.lengths(k, s)) for k in sh.sources for s in ('train','val')) == 12*200-11*50

def test_again_does_nothing(inputs, whole):
    before = {p: p.stat().st_mtime_ns for p in (whole/'data/x').rglob('*') if p.is_file()}
    r = run(whole, '--name', 'x', '--data', f'{inputs}/*.jsonl', '--tokenizer', inputs/'tok')
    assert r.returncode==0 and r.stdout.count('already')==2
    assert before=={p: p.stat().st_mtime_ns for p in (whole/'data/x').rglob('*') if p.is_file()}
    r = run(whole, '--name', 'x', '--data', f'{inputs}/*.jsonl', '--tokenizer', inputs/'tok', '--least', 100)
    assert r.returncode==1 and 'least: 200' in r.stderr and '--force' in r.stderr

def test_kill(inputs, whole, tmp_path):
    p = subprocess.Popen(**command(tmp_path, '--name', 'x', '--data', f'{inputs}/*.jsonl', '--stage', 'docs', '--workers', 1))
    done = tmp_path/'data/x/.work/docs/log/completions'
    while not (done.exists() and os.listdir(done)) and p.poll() is None: time.sleep(0.005)
    p.send_signal(signal.SIGKILL)
    p.communicate()
    r = run(tmp_path, '--name', 'x', '--data', f'{inputs}/*.jsonl', '--tokenizer', inputs/'tok')
    assert r.returncode==0, r.stderr
    assert files(tmp_path)==files(whole)

good = json.dumps(doc(0)).encode()+b'\n'
BAD = {
    'missing.jsonl': (None, 'found nothing at'),
    'empty.jsonl': (b'', 'an empty file'),
    'cut.jsonl.gz': (gzip.compress(good*50, mtime=0)[:-20], 'breaks off'),
    'html.jsonl': (b'<!doctype html>\n', 'line 1, found HTML'),
    'half.jsonl': (good+good[:40], 'line 2, found text that is not JSON'),
    'latin.jsonl': (good+'{"text":"café","license":"MIT"}'.encode('latin-1'), 'line 2, found byte 0xe9'),
    'notext.jsonl': (good+b'{"id":1,"body":"x","license":"MIT"}\n', 'line 2, found nothing'),
    'nolicence.jsonl': (b'{"text":"x"}\n', 'a licence in'),
    'short.jsonl': (b'{"text":"x","license":"MIT"}\n', '1 read, 1 short'),
    'bad.parquet': (b'PAR1 not', 'expected a parquet file')}

@pytest.mark.parametrize('name', BAD)
def test_bad_input(name, tmp_path, monkeypatch, capsys):
    data,says = BAD[name]
    monkeypatch.setenv('TRIONYX_HOME', str(tmp_path))
    if data is not None: (tmp_path/name).write_bytes(data)
    with pytest.raises(SystemExit) as e: launch(prepare, argv=['--name', 'x', '--data', str(tmp_path/name), '--stage', 'docs', '--workers', '1'])
    err = capsys.readouterr().err.strip()
    last = err.splitlines()[-1]
    assert e.value.code==1 and 'Traceback' not in err
    assert last.startswith('prepare: ') and 'expected' in last and says in last and name.split('.')[0] in last

def test_bad_input_in_a_worker(inputs, tmp_path):
    "What a worker finds reaches the person as one line; what other workers finished stays"
    (tmp_path/'bad.jsonl').write_bytes(good+b'<html>\n')
    r = run(tmp_path, '--name', 'x', '--data', f'{inputs}/*.jsonl,{tmp_path}/bad.jsonl', '--stage', 'docs', '--workers', 2)
    assert r.returncode==1 and 'bad.jsonl, line 2, found HTML' in r.stderr and 'Traceback' not in r.stderr, r.stderr
    assert len(os.listdir(tmp_path/'data/x/.work/docs/log/completions'))>=6
