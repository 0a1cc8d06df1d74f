"An exported run in the real transformers: its weights, its tokenizer, its chat template, its generate"
import gzip, importlib.util, json, os, subprocess, sys
from pathlib import Path
import pytest, torch
from trionyx.core import TrionyxError, StepLog
from trionyx.export import export
from trionyx.generate import generate
from trionyx.model import GPT, GPTConfig
from trionyx.optim import make_optimizer
from trionyx.packages import package_docs
from trionyx.checkpoints import save_checkpoint
from trionyx.run import load_run, open_run
from trionyx.tokenizer import render_chat, render_prompt, train_tokenizer

root = Path(__file__).parent.parent
apart = root/'.venv/extra/transformers'  # scripts/test.sh installs it apart, so that the demo's corpus does not change with it
prose = Path(os.environ.get('TRIONYX_TEST_DATA', root/'../shared/data'))/'prose'
pytestmark = pytest.mark.skipif(not apart.is_dir() and not importlib.util.find_spec('transformers'), reason='transformers is not installed (scripts/test.sh does)')

def texts():
    "10,000 real texts of up to 2,000 characters: the prose of shared/data, or the documentation of installed packages"
    docs = [json.loads(o)['text'] for p in sorted(prose.glob('*.jsonl.gz')) for o in gzip.open(p, 'rt', encoding='utf-8')]
    docs = docs or [o['text'] for k in ('torch', 'numpy', 'pandas', 'matplotlib', 'networkx', 'sympy') for o in package_docs(k)]
    cut = [d[i:i+2000] for d in docs for i in range(0, len(d), 2000)]
    return cut[::max(1, len(cut)//10_000)][:10_000]

@pytest.fixture(scope='module')
def sample(): return texts()

@pytest.fixture(scope='module')
def run(tmp_path_factory, sample):
    "A run whose weights all count, with windows, value embeddings and shared keys"
    d = tmp_path_factory.mktemp('export')/'toy'
    tok = train_tokenizer(sample[::20], 2000)
    cfg = GPTConfig(depth=4, vocab=tok.n_vocab, seq=128, head_dim=16, aspect=16, kv_heads=2)
    open_run(d, dict(recipe='sft', base=['gone', 1, ''], data='toy', tokenizer=tok.hash, model=vars(cfg), batch=64, steps=1, rows={}), dict(commit='abc'))
    StepLog(d/'metrics.jsonl').append(dict(step=1, loss=3., bpb=3., grad_norm=1., lr=1., secs=1., tokens_per_s=64))
    model,g = GPT(cfg).init_weights(0),torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in model.parameters(): p.add_(0.1*torch.randn(p.shape, generator=g))
    save_checkpoint(d, 1, model, make_optimizer(model))
    tok.save(d/'tokenizer')
    return load_run(str(d), device='cpu', dtype='float32')

@pytest.fixture(scope='module')
def hf(run, tmp_path_factory):
    "`AutoTokenizer` and `AutoModelForCausalLM` of the exported run"
    was = sys.path[:]
    if apart.is_dir(): sys.path.append(str(apart))
    os.environ['HF_MODULES_CACHE'] = str(tmp_path_factory.mktemp('modules'))
    try:
        from transformers import AutoModelForCausalLM, AutoTokenizer
        d = export(str(run.folder))
        yield AutoTokenizer.from_pretrained(d, trust_remote_code=True),AutoModelForCausalLM.from_pretrained(d, trust_remote_code=True, dtype=torch.float32).eval()
    finally:
        sys.path[:] = was
        os.environ.pop('HF_MODULES_CACHE')

def rows(run, *lens): return [run.tok.encode('the model and the data '*99)[i:i+n] for i,n in enumerate(lens)]

@torch.no_grad()
def test_logits_are_ours(run, hf):
    ids = torch.randint(run.tok.n_vocab, (3, 128), generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(hf[1](ids).logits, run.model(ids), atol=1e-4, rtol=0)

@torch.no_grad()
def test_cache_changes_nothing(run, hf):
    ids = torch.tensor(rows(run, 100))
    o = hf[1](ids[:,:60], use_cache=True)
    parts = [o.logits]
    for i,j in ((60, 61), (61, 90), (90, 100)):
        o = hf[1](ids[:,i:j], past_key_values=o.past_key_values, use_cache=True)
        parts.append(o.logits)
    torch.testing.assert_close(torch.cat(parts, 1), run.model(ids), atol=1e-4, rtol=0)

@torch.no_grad()
def test_loss_is_ours(run, hf):
    ids = torch.tensor(rows(run, 50, 50))
    labels = ids.clone()
    labels[:,:10] = -100
    y = labels[:,1:].where(labels[:,1:]>=0, -1)
    torch.testing.assert_close(hf[1](ids, labels=labels).loss, run.model.loss(ids[:,:-1], y), atol=1e-5, rtol=0)

def test_tokens_are_ours(run, hf, sample):
    assert len(sample)==10_000
    assert [i for i,o in enumerate(sample) if hf[0](o, add_special_tokens=False)['input_ids']!=run.tok.encode(o)]==[]
    assert hf[0].decode(hf[0](sample[0])['input_ids'], skip_special_tokens=True)==sample[0]
    assert hf[0]('a')['input_ids'][0]==run.tok.bos

@pytest.mark.parametrize('text', ['', ' ', '\n\n', 'naïve café', '日本語 텍스트', '🙂🙃\u200d', "it's THEY'LL", '1234567', '\t\t x', 'a'*3000, ' '*600+'x', '\x00\x7f', 'e\u0301'])
def test_odd_texts(run, hf, text): assert hf[0](text, add_special_tokens=False)['input_ids']==run.tok.encode(text)

user,ai = dict(role='user', content=' Why?\n'),dict(role='assistant', content='So.')
tool = dict(role='assistant', content=[dict(type='python', text='2+3'), dict(type='python_output', text='5'), dict(type='text', text='Five.')])
@pytest.mark.parametrize('talk', [[user, ai], [user, tool, user, ai], [dict(role='system', content='Be brief.'), user, ai], [dict(role='system', content=''), user, ai]])
def test_chat_template(run, hf, talk):
    got = hf[0].apply_chat_template(talk, return_dict=True)['input_ids']
    assert got==render_chat(run.tok, talk)[0]
    got = hf[0].apply_chat_template(talk[:-1], add_generation_prompt=True, return_dict=True)['input_ids']
    assert got==render_prompt(run.tok, talk[:-1])

def test_template_refuses(hf):
    with pytest.raises(Exception, match='at most one system'): hf[0].apply_chat_template([user, dict(role='system', content='late')])

def test_greedy_answers_are_ours(run, hf):
    prompts = rows(run, 9, 30, 17)
    ours = generate(run.model, run.tok, prompts, 40, temperature=0)
    batch = hf[0].pad(dict(input_ids=prompts), return_tensors='pt')
    out = hf[1].generate(**batch, max_new_tokens=40, do_sample=False)[:,batch['input_ids'].shape[1]:]
    ends = set(hf[1].generation_config.eos_token_id)
    theirs = [o[:next((i for i,t in enumerate(o) if t in ends), len(o))] for o in out.tolist()]
    assert theirs==ours

def test_too_long_is_refused(hf):
    with pytest.raises(ValueError, match='the context of the model, found 129'): hf[1](torch.zeros(1, 129, dtype=torch.long))

def test_script(run, tmp_path):
    r = subprocess.run([sys.executable, 'scripts/export.py', str(run.folder), '--out', str(tmp_path/'x'), '--dtype', 'bfloat16', '--license', 'cc-by-4.0'], cwd=root, capture_output=True, text=True)
    assert r.returncode==0, r.stderr
    assert 'license: cc-by-4.0' in (tmp_path/'x/README.md').read_text()
    assert (tmp_path/'x/model.safetensors').stat().st_size < 0.6*(run.folder/'export/model.safetensors').stat().st_size
