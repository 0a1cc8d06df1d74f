"The mix of Trionyx itself: 17 sources from a hub that fails now and then, FOI requests of one's own, a small model, its ledger"
import gzip, json, os, re, subprocess, sys
from pathlib import Path
import numpy as np, pytest
from trionyx.core import read_json, read_manifest, test_data as find_data
from trionyx.documents import package_inputs, read_docs
from trionyx.mirror import MiniHub, practice_hub
from trionyx.mix import find_mix
from trionyx.order import Order
from trionyx.rows import Rows
from trionyx.shards import Shards
from trionyx.tokenizer import train_tokenizer

root = Path(__file__).parent.parent
data = find_data()
budget = 400_000

# What stands for each source. There is no case law among these documents, nor US regulations: guidance on the law of information stands for the one, UK legislation for the other.
kinds = dict(wikimedia='wikimedia', stackexchange='stackexchange', pes2o='academic_papers', gutenberg='project_gutenberg', caselaw='foi_guidance', pubmed='pubmed_abstracts_plos',
             pre_1929_books='pre_1929_books', arxiv_papers='arxiv_papers', uk_hansard='uk_hansard', youtube='youtube_transcripts', doab='doab_books', regulations='uk_legislation',
             usgpo='us_gpo,govuk_content', arxiv_abstracts='arxiv_abstracts', ubuntu_irc='ubuntu_irc', libretexts='open_textbooks', news='news')

def rows(name):
    "Records of a kind, as the Common Pile has them"
    for l in gzip.open(data/f'prose/{name}.jsonl.gz', 'rt', encoding='utf-8', newline='\n'):
        d = json.loads(l)
        yield dict(id=d['id'], text=d['text'], source=d['source'], metadata=dict(license=d['license'], url=d.get('url')))

@pytest.fixture(scope='module')
def hub(tmp_path_factory):
    "Each source in four files, under its own name and commit; from the documentation of packages where there are no documents of its kind"
    d = tmp_path_factory.mktemp('hub')
    if data is None:
        practice_hub(d, find_mix('trionyx'), (o for i in package_inputs()[0] for o in read_docs(i)))
        return d
    for s in find_mix('trionyx').sources:
        if not s.hub: continue
        docs = [o for k in kinds[s.name].split(',') for o in rows(k)]
        (d/s.hub).mkdir(parents=True)
        if s.revision: (d/f'{s.hub}.commit').write_text(s.revision)
        for i in range(4):
            lines = ''.join(json.dumps(o)+'\n' for o in docs[i::4]).encode()
            (d/s.hub/f'{s.name}-{i:04d}.json.gz').write_bytes(gzip.compress(lines, 1))
    return d

def fault(path, n):
    "Of every file the first answer breaks off or is refused"
    if path.startswith('api/') or n>1: return None
    return dict(cut=10_000) if path.endswith(('0.json.gz', '1.json.gz')) else dict(status=503)

def run(home, name, *args):
    r = subprocess.run([sys.executable, f'scripts/{name}.py', *map(str, args)], cwd=root, env=os.environ | dict(TRIONYX_HOME=str(home)), capture_output=True, text=True, timeout=600)
    assert r.returncode==0, r.stderr
    return r.stdout

@pytest.fixture(scope='module')
def home(hub, tmp_path_factory):
    "The whole way: requests, tokenizer, one command for the data, a model of two layers"
    h = tmp_path_factory.mktemp('home')
    run(h, 'foi', '--kind', 'docs', '--n', 3000, '--out', h/'foi.jsonl')
    some = [p for o in ('wikimedia', 'pes2o') for p in (hub/'common-pile'/f'{o}_filtered').glob('*-0000.json.gz')]
    train_tokenizer((json.loads(l)['text'] for p in some for l in gzip.open(p)), 4096).save(h/'tokenizer/x')
    args = ['--name', 'x', '--mix', 'trionyx', '--budget', budget, '--data', f'foi={h}/foi.jsonl', '--held-out', 0.05, *(['--evals', f"{data}/evals,{data}/eval_bundle_small"] if data else [])]
    with MiniHub(hub, fault) as m:
        plan = run(h, 'prepare', *args, '--dry-run')
        assert not m.sent and not (h/'data').exists(), 'a dry run fetches and writes nothing'
        said = run(h, 'prepare', *args)
        sent = dict(m.sent)
    again = run(h, 'prepare', *args)                # the hub has gone
    run(h, 'pretrain', '--name', 'x', '--mix', 'trionyx', '--depth', 2, '--seq', 256, '--batch', 4096, '--steps', budget//4096, '--eval-every', 0, '--compile', 'no')
    return h,plan,said,sent,again

def test_dry_run_says_what_would_be_read(home):
    _,plan,*_ = home
    for k in find_mix('trionyx').names: assert re.search(rf'(?m)^{k} +\d', plan), plan
    assert re.search(r'in all \d+ files, [\d.]+ GB to read', plan)

def test_reads_no_more_than_the_budget_needs(home, hub):
    h,_,_,sent,_ = home
    size = {str(p.relative_to(hub)): p.stat().st_size for p in hub.rglob('*.json.gz')}
    read = read_json(h/'data/x/sources.json')['sources']
    assert set(read)==set(find_mix('trionyx').names)-{'foi'}
    some = [k for k in size if k in sent]
    assert 17<=len(some)<len(size) and sum(sent[k] for k in some)<=sum(size[k] for k in some)+10_000*len(some) # a broken answer is not read again

def test_a_finished_preparation_needs_no_hub(home):
    *_,again = home
    assert again.count('already')==2

def test_all_sources_and_licences_are_there(home):
    h = home[0]
    sh = Shards(h/'data/x', verify=True)
    m = find_mix('trionyx')
    assert set(sh.sources)==set(m.names)
    for s in m.sources:
        o = sh.manifest['origins'][s.name]
        assert sh.manifest['sources'][s.name]['train']['licenses']
        assert (o['kind'], o.get('hub'), o.get('revision'))==(('hub', s.hub, s.revision) if s.hub else ('file', None, None))
    want = m.draw(budget).tokens
    for k in m.names: assert sh.manifest['sources'][k]['train']['tokens']>=want[k]

def test_ledger_equals_the_plan(home):
    "Tokens by source, counted by walking the order document by document, against what the ledger says and what is due"
    h = home[0]
    mix,sh = find_mix('trionyx'),Shards(h/'data/x')
    steps = budget//4096
    n = steps*4096
    order = Order(sh, mix, 0, n+1)
    got,at = dict.fromkeys(mix.names, 0),0
    for s,d in zip(order.src, order.doc):
        take = min(int(sh.lengths(mix.names[s])[d]), n-at)
        got[mix.names[s]] += take
        at += take
        if at==n: break
    said = run(h, 'ledger', 'x')
    told = json.loads((h/'runs/x/ledger/attribution.json').read_text())
    assert {k: v['tokens'] for k,v in told['sources'].items()}==got, said
    share = {k: w/sum(mix.weights.values()) for k,w in mix.weights.items()}
    longest = {k: int(sh.lengths(k).max()) for k in mix.names}
    for k in mix.names:
        assert abs(got[k]-share[k]*n)<=longest[k], f'{k} is {got[k]-share[k]*n:,.0f} tokens off its due'
        assert sum(o['tokens'] for o in told['sources'][k]['licenses'].values())==got[k]

def test_ledger_names_documents(home):
    h = home[0]
    out = run(h, 'ledger', 'x', '--steps', '40:42')
    sh = Shards(h/'data/x')
    rows_ = Rows(Order(sh, find_mix('trionyx'), 0, budget+1), 256)
    first = rows_.spans(40*16).iloc[0]
    name = sh.doc_ids(first.source)[first.doc]
    assert name in out and first.source in out
    assert re.search(r'\b40\b', run(h, 'ledger', 'x', '--doc', name))
