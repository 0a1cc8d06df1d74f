"Fine-tuning as a person starts it: the post's mix from a practice hub, connections that break, kill -9, two ranks against one"
import json, os, signal, time
from dataclasses import asdict
import pyarrow as pa, pyarrow.parquet as pq, pytest
from test_pipeline import run, same, start, weights
from trionyx.chats import sft_mix
from trionyx.checkpoints import save_checkpoint
from trionyx.mirror import MiniHub
from trionyx.model import GPT, GPTConfig
from trionyx.optim import Rates, make_optimizer
from trionyx.run import open_run
from trionyx.tokenizer import train_tokenizer

SMOL,MMLU = 'HuggingFaceTB/smol-smoltalk','cais/mmlu'
TUNE = '--mix trionyx --foi 40 --long truncate --micro 2 --dtype float32 --save-secs 0 --eval-every 0'.split()

def smol(k, i):
    "A record in SmolTalk's schema, of one to three turns, at times with a system message"
    ms = [dict(role='system', content='Answer in one line.')]*(i%4==0)
    for j in range(1+i%3): ms += [dict(role='user', content=f'{k} {i} {j}: what is the capital of France?'), dict(role='assistant', content='It is Paris. '*(1+i*j%5))]
    return dict(messages=ms, source='smol-magpie-ultra')

def mmlu(k, i): return dict(question=f'{k}: what is {i} + 1?', subject='', choices=[str(i+j) for j in range(4)], answer=1)

def parquet(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)

@pytest.fixture(scope='module')
def home(tmp_path_factory):
    "A hub with data sets in the true schema, and a base run with an optimizer state"
    h = tmp_path_factory.mktemp('sft')
    for k,n in {'train-00000-of-00002':60, 'train-00001-of-00002':47, 'test-00000-of-00001':9}.items(): parquet(h/f'hub/{SMOL}/data/{k}.parquet', [smol(k, i) for i in range(n)])
    for k,n in {'auxiliary_train':31, 'validation':5, 'test':9}.items(): parquet(h/f'hub/{MMLU}/all/{k}-00000-of-00001.parquet', [mmlu(k, i) for i in range(n)])
    (h/f'hub/{MMLU}.commit').write_text(sft_mix('trionyx')[1].revision)
    tok = train_tokenizer(['What is the capital of France? It is Paris. Under the Act I request the number of letters. ']*9, 300)
    m = GPT(GPTConfig(depth=2, vocab=tok.n_vocab, seq=192, head_dim=16, aspect=16)).init_weights(0)
    open_run(h/'runs/base', dict(recipe='pretrain', data='none', model=asdict(m.cfg), batch=768, rates=asdict(Rates())), {})
    tok.save(h/'runs/base/tokenizer')
    save_checkpoint(h/'runs/base', 0, m, make_optimizer(m))
    return h

def losses(home, name): return [json.loads(l)['loss'] for l in (home/f'runs/{name}/metrics.jsonl').read_text().splitlines() if '"loss"' in l]
def ledger(home, name): return (home/f'runs/{name}/ledger/ledger.jsonl').read_bytes()
def counts(home, name): return json.loads((home/f'runs/{name}/ledger/attribution.json').read_text())['sources']

def refuses(path, n): return dict(status=404) if 'train-00001' in path else None
def breaks(path, n): return dict(cut=200) if 'train-00001' in path and n==1 else None

def test_one_pass_of_the_posts_mix(home):
    "A hub that refuses the second file: the first is stored; then one that hangs up in it: it goes on, and nothing is fetched twice"
    with MiniHub(home/'hub', refuses) as h: assert 'train-00001' in run(home, 'sft', 'base', '--name', 'one', *TUNE, fails=True)
    assert len(list((home/'data/chats').glob('smoltalk-train-*'))) == 1 and not (home/'runs/one').exists()
    with MiniHub(home/'hub', breaks) as h: out = run(home, 'sft', 'base', '--name', 'one', *TUNE)
    assert f'{SMOL}/data/train-00000-of-00002.parquet' not in h.sent
    assert h.sent[f'{SMOL}/data/train-00001-of-00002.parquet'] == (home/f'hub/{SMOL}/data/train-00001-of-00002.parquet').stat().st_size
    assert 'test-00000' not in str([k for k in h.sent if MMLU in k])
    got = {k: {l: o['documents'] for l,o in v['licenses'].items()} for k,v in counts(home, 'one').items()}
    assert got == dict(smoltalk={'Apache-2.0':107}, mmlu=dict(MIT=31), foi=dict(generated=40))
    assert out.startswith('conversations: smoltalk 107, ') and ', mmlu 31, foi 40' in out
    assert counts(home, 'one')['mmlu']['revision'] == sft_mix('trionyx')[1].revision and len(counts(home, 'one')['smoltalk']['revision']) == 40
    last = [json.loads(l) for l in (home/'runs/one/metrics.jsonl').read_text().splitlines() if 'val_bpb_by_source' in l][-1]
    assert set(last['val_bpb_by_source']) == {'smoltalk', 'mmlu', 'foi'}

def test_two_ranks_equal_one(home):
    with MiniHub(home/'hub'): run(home, 'sft', 'base', '--name', 'two', *TUNE, ranks=2)
    assert ledger(home, 'two') == ledger(home, 'one') and counts(home, 'two') == counts(home, 'one')
    a,b = losses(home, 'one'),losses(home, 'two')
    assert len(a) == len(b) > 10 and max(abs(x-y) for x,y in zip(a, b)) < 1e-3
    assert same(weights(home, 'one'), weights(home, 'two'), close=2e-3)

def test_killed_and_resumed(home):
    with MiniHub(home/'hub'):
        p = start(home, 'sft', 'base', '--name', 'cut', *TUNE)
        while p.poll() is None and len(list((home/'runs/cut/ckpt').glob('step-*/manifest.json'))) < 2: time.sleep(0.02)
        p.send_signal(signal.SIGKILL)
        p.communicate()
        assert p.returncode == -9
        assert 'go on from step' in run(home, 'sft', 'base', '--name', 'cut', *TUNE)
    assert same(weights(home, 'cut'), weights(home, 'one')) and losses(home, 'cut') == losses(home, 'one')
    assert ledger(home, 'cut') == ledger(home, 'one') and counts(home, 'cut') == counts(home, 'one')

def test_refused_with_line(home, tmp_path):
    good = json.dumps(dict(messages=[dict(role='user', content='a'), dict(role='assistant', content='b')]))
    (tmp_path/'mine.jsonl').write_text('\n'.join([good, good, good.replace('"assistant"', '"user"'), good]))
    err = run(home, 'sft', 'base', '--name', 'bad', '--data', tmp_path/'mine.jsonl', fails=True)
    assert 'mine.jsonl, line 3' in err and 'role assistant' in err, err
    assert not (home/'runs/bad').exists()
