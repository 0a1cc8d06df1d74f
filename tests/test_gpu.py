"The one call for a GPU, whole, on a processor with a small shape; Inductor's code for the layers; a start that measures attention"
import json, os, subprocess, sys
from pathlib import Path
import pytest, torch
from trionyx.attention import WAYS
from trionyx.compute import choose_attention, compile_blocks, set_compute
from trionyx.model import GPT, GPTConfig

root = Path(__file__).resolve().parents[1]
cfg = GPTConfig(depth=2, vocab=128, seq=64, head_dim=32, aspect=32)

def script(name, *args, **env):
    return subprocess.run([sys.executable, root/'scripts'/name, *map(str, args)], capture_output=True, text=True, timeout=900,
                          env={**os.environ, 'OMP_NUM_THREADS':'1', **env})

def test_one_call(tmp_path):
    "Every part is measured and none fails; the files say the same as the screen"
    from trionyx.gpu import GUESS
    r = script('gpu.py', '--small', '--device', 'cpu', '--out', tmp_path)
    assert r.returncode==0, r.stderr[-2000:]
    found,md = json.loads((tmp_path/'gpu.json').read_text()),(tmp_path/'gpu.md').read_text()
    assert [k for k in GUESS if not found[k] or isinstance(found[k], dict) and {'failed', 'left_out'} & set(found[k])]==[]
    assert md.strip() in r.stdout and 'not measured' not in md and 'not asked for' not in md
    assert all(o['error']<1e-4 for o in found['attention']['rows']+found['between']+found['head'])
    assert all(.01<o['float8_error']<.1 for o in found['products'])
    assert found['attention']['attn'] in WAYS or '/' in found['attention']['attn']
    assert len(found['loss'])==2 and {'tokens_s', 'mfu', 'gb', 'plan_gb', 'seen_ms', 'queued'} <= set(found['step'][0])

def test_a_part_that_fails_does_not_end_the_call(tmp_path, monkeypatch):
    import trionyx.gpu as g
    monkeypatch.setattr(g, 'products', lambda *a: 1/0)
    found = g.gpu(str(tmp_path), small=True, device='cpu', only='limits,products,head')
    assert found['products']['failed'].startswith('ZeroDivisionError') and found['head'][0]['error']<1e-4
    assert 'not measured' in (tmp_path/'gpu.md').read_text()

def test_ten_minutes_suffice():
    from trionyx.gpu import GUESS
    assert sum(GUESS.values())<9*60

def grads(m):
    x = torch.randint(128, (2, 65), generator=torch.Generator().manual_seed(0))
    return torch.autograd.grad(m.loss(x[:,:-1], x[:,1:]), list(m.parameters()))

def lively(**kw):
    m = GPT(cfg).init_weights(0)
    for p in m.parameters(): p.data += .05*torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel()))
    return set_compute(m, **kw)

@pytest.mark.parametrize('kw', [dict(), dict(again=1), dict(fp8=True)], ids=['plain', 'again', 'float8'])
def test_inductor(kw):
    "Compiled by Inductor, a layer gives the gradients it gives without; in float8 rounding falls a little differently"
    want,m = grads(lively(**kw)),compile_blocks(lively(**kw), 'yes', torch.device('cpu'))
    for a,b in zip(grads(m), want):
        if kw.get('fp8'): assert (a-b).norm()<.05*b.norm()+1e-6
        else: torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-3)
    torch._dynamo.reset()

def test_growth_script(tmp_path):
    r = script('growth.py', '--small', '--only', 'batch,ranks', '--out', tmp_path)
    assert r.returncode==0, r.stderr[-2000:]
    res = json.loads((tmp_path/'growth.json').read_text())
    assert [o['name'] for o in res['axes']]==['batch'] and res['ranks']['2']['step']>0 and (tmp_path/'growth.png').stat().st_size>1000

def test_pretrain(tmp_path, monkeypatch, capsys):
    "A run whose layers are worked out again is, bit for bit, the run that keeps them; what was measured is noted, and kept by the next start; float8 learns too"
    from trionyx.core import StepLog, read_json
    from trionyx.run import pretrain
    from trionyx.shards import write_shards
    from trionyx.tokenizer import train_tokenizer
    monkeypatch.setenv('TRIONYX_HOME', str(tmp_path))
    text = 'the council keeps a record of the river and the road. '*9
    tok = train_tokenizer([text], 290)
    tok.save(tmp_path/'tokenizer/toy')
    ids = [[tok.bos, *tok.encode(text[i%50:])] for i in range(60)]
    write_shards(tmp_path/'data/toy', dict(prose=dict(train=ids[3:], val=ids[:3])), tok.n_vocab, tok.hash)
    def losses(name, **kw):
        pretrain(name, data='toy', depth=2, seq=32, batch=256, steps=12, eval_every=0, eval_tokens=200, dtype='float32', device='cpu', **kw)
        return [o['loss'] for o in StepLog(tmp_path/'runs'/name/'metrics.jsonl').read() if 'loss' in o]
    kept = losses('kept')
    assert losses('again', recompute='all')==kept
    eight = losses('eight', fp8=True, recompute='1')
    assert eight!=kept and abs(eight[-1]-kept[-1])<.1*kept[-1] and eight[-1]<eight[0]
    losses('fast', attn='fastest')
    capsys.readouterr()
    losses('fast', attn='fastest')
    assert 'attention:' not in capsys.readouterr().out
    a,b = read_json(tmp_path/'runs/fast/config.json')['noted']
    assert a['attn']==b['attn']!='auto' and a['attention']==b['attention'] and a['on']=='cpu'
    assert read_json(tmp_path/'runs/eight/config.json')['noted'][0]['fp8'] is True

@pytest.mark.cuda
def test_every_way_on_a_gpu():
    if not torch.cuda.is_available(): pytest.skip('needs a GPU')
    from trionyx.core import World
    big = GPTConfig(depth=2, seq=2048, doc_mask=True)
    c = choose_attention(big, 2, torch.bfloat16, World(device=torch.device('cuda')))
    print(c.said())
    assert {o['way'] for o in c.rows if not o['out']} >= {'flex', 'sdpa'}
