"One corpus by local workers, by a real Ray cluster and by real Slurm jobs: the same bytes"
import json, os, shutil, signal, subprocess, sys, time
from pathlib import Path
import pytest
from trionyx.core import read_manifest
from trionyx.tokenizer import train_tokenizer

root = Path(__file__).parent.parent
ray_home = root/'.venv/extra/ray'   # scripts/test.sh installs it apart, so that the demo's corpus does not change with it
prose = 'It is a truth universally acknowledged, that a single man in possession of a good fortune. '*3

@pytest.fixture(scope='module')
def inputs(tmp_path_factory):
    "Two files that share documents, equal ones and similar ones, and a tokenizer"
    d = tmp_path_factory.mktemp('in')
    for k in range(2):
        rows = [dict(id=f'{k}-{i}', text=' '.join(f'w{(i+k*5)*j%997}' for j in range(1, 120))+(' end' if k and i%3 else ''), license='MIT') for i in range(20)]
        (d/f's{k}.jsonl').write_text(''.join(json.dumps(o)+'\n' for o in rows))
    train_tokenizer([prose], 300).save(d/'tok')
    return d

def prepare(home, inputs, *args, **env):
    cmd = [sys.executable, 'scripts/prepare.py', '--name', 'x', '--data', f'{inputs}/*.jsonl', '--tokenizer', inputs/'tok', '--held-out', '0.1', *args]
    return subprocess.run([str(o) for o in cmd], cwd=root, env=os.environ | dict(TRIONYX_HOME=str(home)) | env, capture_output=True, text=True, timeout=300)

def files(home): return {f'{s}/{k}': v['sha256'] for s in ('docs','tokens') for k,v in read_manifest(home/f'data/x/{s}')['files'].items()}

@pytest.fixture(scope='module')
def local(inputs, tmp_path_factory):
    home = tmp_path_factory.mktemp('local')
    r = prepare(home, inputs, '--workers', 2)
    assert r.returncode==0, r.stderr
    assert 'near' in r.stdout and 'duplicate' in r.stdout, r.stdout
    return home

def has_ray(): return ray_home.is_dir() or subprocess.run([sys.executable, '-c', 'import ray'], capture_output=True).returncode==0

with_ray = pytest.mark.skipif(not has_ray(), reason='ray is not installed (scripts/test.sh does)')

@with_ray
def test_ray_makes_the_same_bytes(inputs, local, tmp_path):
    r = prepare(tmp_path, inputs, '--executor', 'ray', '--workers', 2, PYTHONPATH=str(ray_home))
    assert r.returncode==0, r.stderr
    assert files(tmp_path)==files(local)
    again = prepare(tmp_path, inputs, '--executor', 'ray', PYTHONPATH=str(ray_home))
    assert again.returncode==0 and again.stdout.count('already')==2

@with_ray
def test_ray_passes_errors_on(inputs, tmp_path):
    for k in range(2): shutil.copy(inputs/f's{k}.jsonl', tmp_path)
    (tmp_path/'s1.jsonl').write_text('<html>Not today</html>\n')
    r = prepare(tmp_path/'home', tmp_path, '--tokenizer', inputs/'tok', '--executor', 'ray', PYTHONPATH=str(ray_home))
    assert r.returncode==1 and 's1.jsonl, line 1, found HTML' in r.stderr and 'Traceback' not in r.stderr, r.stderr

def test_a_missing_cluster_is_said(inputs, tmp_path):
    r = prepare(tmp_path, inputs, '--executor', 'slurm', '--cluster', 'partition=test', PATH='/usr/bin/false')
    assert r.returncode==1 and 'login node' in r.stderr, r.stderr
    r = prepare(tmp_path, inputs, '--executor', 'spark')
    assert r.returncode==1 and "found 'spark'" in r.stderr

def partition():
    "The first partition of a Slurm that works, or None"
    if not shutil.which('sinfo'): return None
    r = subprocess.run(['sinfo', '--noheader', '--format=%R', '--states=idle'], capture_output=True, text=True)
    return r.stdout.split()[0] if r.returncode==0 and r.stdout.strip() else None

with_slurm = pytest.mark.skipif(not partition(), reason='no Slurm with an idle node here')

@with_slurm
def test_slurm_makes_the_same_bytes(inputs, local, tmp_path):
    r = prepare(tmp_path, inputs, '--executor', 'slurm', '--cluster', f'partition={partition()},mem=1,time=10:00')
    assert r.returncode==0, r.stderr
    assert files(tmp_path)==files(local)

@with_slurm
def test_slurm_passes_errors_on(inputs, tmp_path):
    (tmp_path/'s1.jsonl').write_text('<html>Not today</html>\n')
    r = prepare(tmp_path/'home', tmp_path, '--tokenizer', inputs/'tok', '--executor', 'slurm', '--cluster', f'partition={partition()},mem=1,time=10:00')
    assert r.returncode==1 and 's1.jsonl, line 1, found HTML' in r.stderr, r.stderr

@with_slurm
def test_ctrl_c_takes_jobs_out_of_the_queue(inputs, tmp_path):
    env = os.environ | dict(TRIONYX_HOME=str(tmp_path))
    cmd = [sys.executable, 'scripts/prepare.py', '--name', 'x', '--data', f'{inputs}/*.jsonl', '--stage', 'docs', '--executor', 'slurm',
           '--cluster', f'partition={partition()},mem=1,time=10:00,begin=now+60']
    queued = lambda: subprocess.run(['squeue', '--noheader', '--name=trionyx'], capture_output=True, text=True).stdout.strip()
    until = time.time()+60
    while queued() and time.time()<until: time.sleep(0.2)   # of the tests before
    p = subprocess.Popen(cmd, cwd=root, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                         preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)) # a shell's background job would ignore it
    while not queued() and time.time()<until: time.sleep(0.2)
    assert queued(), p.communicate()
    time.sleep(4)
    p.send_signal(2)
    assert p.wait(timeout=60)!=0
    until = time.time()+20
    while queued() and time.time()<until: time.sleep(0.5)
    assert not queued()
