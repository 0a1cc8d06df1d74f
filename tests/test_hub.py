"Fetching as it happens at night: processes that are killed, several at once, a disk that is full"
import gzip, json, random, signal, subprocess, sys, time
from dataclasses import asdict
from pathlib import Path
import pytest
from trionyx.core import sha256
from trionyx.documents import Input
from trionyx.hub import fetching, hub_inputs, place
from trionyx.mirror import MiniHub
from trionyx.mix import Source

news = Source('news', hub='pile/news', license_key='metadata.license')
CHILD = '''import json, resource, sys
from trionyx.core import TrionyxError
from trionyx.documents import Input, read_docs
from trionyx.hub import fetching
tasks,folder,most = json.loads(sys.argv.pop(1)),sys.argv.pop(1),int(sys.argv.pop(1))
if most: resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
try:
    for i in fetching(None, tasks=[[Input(**o) for o in tasks]], folder=folder, wait=0.01): print(len(list(read_docs(i))), flush=True)
except TrionyxError as e: sys.exit(str(e))'''

@pytest.fixture(scope='module')
def pile(tmp_path_factory):
    "A data set of 6 files that do not compress, of about 400 kB each"
    d,rng = tmp_path_factory.mktemp('hub'),random.Random(0)
    (d/'pile/news').mkdir(parents=True)
    for k in range(6):
        rows = [dict(id=f'{k}-{i}', text=rng.randbytes(1500).hex(), metadata=dict(license='CC0')) for i in range(200)]
        (d/f'pile/news/part-{k}.json.gz').write_bytes(gzip.compress(''.join(json.dumps(o)+'\n' for o in rows).encode(), 1, mtime=0))
    return d

def child(inputs, folder, most=0): # `most`: bytes of the largest file that the process may write
    return subprocess.Popen([sys.executable, '-c', CHILD, json.dumps([asdict(o) for o in inputs]), str(folder), str(most)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

def part(i, folder): return place(i, folder).with_name(Path(i.file).name+'.part')

def wait_for(p, n):
    end = time.time()+60
    while not (p.exists() and p.stat().st_size>=n): assert time.time()<end; time.sleep(0.01)

def test_kill_and_go_on(pile, tmp_path):
    "Killed in the second of three files; the next day the first is still there and the second goes on at its byte"
    slow = []
    def fault(path, n):
        if path==slow[0] and n<3: return dict(cut=100_000) if n==1 else time.sleep(60)
    with MiniHub(pile, lambda path, n: fault(path, n) if slow else None) as hub:
        ins = hub_inputs(news)[:3]
        slow.append(f'pile/news/{ins[1].file}')
        p = child(ins, tmp_path)
        wait_for(part(ins[1], tmp_path), 100_000)
        p.send_signal(signal.SIGKILL)
        assert p.communicate()[0].split()==['200']
        assert sha256(place(ins[0], tmp_path))==ins[0].sha and not place(ins[1], tmp_path).exists()
    with MiniHub(pile) as hub:
        out,err = (p := child(ins, tmp_path)).communicate(timeout=60)
        assert p.returncode==0 and out.split()==['200']*3, err
        assert [hub.sent[f'pile/news/{o.file}'] for o in ins]==[0, ins[1].size-100_000, ins[2].size]
    assert not [o for o in tmp_path.rglob('*') if o.is_file()]

def test_several_at_once(pile, tmp_path):
    "Three processes share a folder and a hub that breaks every second request of each file, in another way each"
    kinds = [dict(cut=50_000), dict(status=429), dict(html=True), dict(status=503), dict(flip=9), dict(short=1000)]
    with MiniHub(pile, lambda path, n: kinds[int(path[-9])] if n==1 and path.endswith('.gz') else None) as hub:
        ins = hub_inputs(news)
        ps = [child(ins[k::3], tmp_path) for k in range(3)]
        res = [p.communicate(timeout=100) for p in ps]
        assert [out.split() for out,_ in res]==[['200']*2]*3, res
        assert all(hub.asked[f'pile/news/{o.file}']>1 for o in ins)

def test_full_disk(pile, tmp_path):
    "A file that cannot grow is an error that names it; with room again, what arrived is used"
    with MiniHub(pile) as hub:
        ins = hub_inputs(news)[:1]
        out,err = (p := child(ins, tmp_path, most=200_000)).communicate(timeout=60)
        assert p.returncode==1 and all(o in err for o in (ins[0].file, "'news'", 'stay')) and 'Traceback' not in err, err
        have = part(ins[0], tmp_path).stat().st_size
        assert 0<have<=200_000
        before = hub.sent[f'pile/news/{ins[0].file}']
        assert child(ins, tmp_path).communicate(timeout=60)[0].split()==['200']
        assert hub.sent[f'pile/news/{ins[0].file}']-before==ins[0].size-have

def test_gone_server(pile, tmp_path):
    "A server that dies in the middle of a file: the error says so, and another server goes on"
    with MiniHub(pile, lambda path, n: None if path.startswith('api') else dict(cut=1000) if n==1 else dict(status=503)):
        ins = hub_inputs(news)[:1]
        with pytest.raises(ValueError, match='1,000 of .* stay'): next(fetching(None, tasks=[ins], folder=tmp_path, tries=2, wait=0))
    with MiniHub(pile) as hub:
        it = fetching(None, tasks=[ins], folder=tmp_path, wait=0)
        assert sha256(next(it).where)==ins[0].sha and hub.sent[f'pile/news/{ins[0].file}']==ins[0].size-1000
