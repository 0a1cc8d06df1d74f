"""How fast preparation is on one core, by part, in CPU seconds (for LOG.md): python tests/prepare_speed.py"""
import tempfile, time
from pathlib import Path
from trionyx.cleaning import content_hash, fault, known, tidy, words
from trionyx.core import test_data
from trionyx.corpus import tokenising
from trionyx.documents import Input, find_files, read_docs
from trionyx.near import bands
from trionyx.pipeline import cleaning, reading, writing
from trionyx.tokenizer import Tokenizer, train_tokenizer

data = test_data()
assert data, 'expected ../shared/data, or TRIONYX_TEST_DATA'
tmp,files = Path(tempfile.mkdtemp()),find_files(str(data/'prose'))
evals = f'{data}/evals,{data}/eval_bundle_small'

def timed(name, fn):
    "Run `fn` over the whole text and print its speed"
    t0 = time.process_time()
    res = fn()
    secs = time.process_time()-t0
    print(f'{name:40} {mb/secs:7.1f} MB/s')
    return res,secs

docs = [d['text'] for f in files for d in read_docs(f)]
mb = sum(len(o.encode()) for o in docs)/1e6
train_tokenizer(docs, 32_768).save(tmp/'tok')
tok,eval_runs = Tokenizer.load(tmp/'tok'),known(evals)
print(f'{mb:.1f} MB, {len(docs):,} documents')
timed('read', lambda: [d for f in files for d in read_docs(f)])
docs,_ = timed('tidy', lambda: [tidy(o) for o in docs])
timed('fault', lambda: [fault(o) for o in docs])
timed('content_hash', lambda: [content_hash(o) for o in docs])
ws,_ = timed('words', lambda: [words(o) for o in docs])
timed('hits', lambda: [eval_runs.hits(o) for o in ws])
timed('bands', lambda: [bands(o) for o in ws])
timed('tiktoken alone', lambda: [tok.encode(o) for o in docs])
tasks = [[Input(f.name.split('.')[0], 'file', str(f), size=1) for f in files]]
_,a = timed('stage 1: from files to clean lines', lambda: writing(cleaning(reading(None, 0, tasks=tasks), evals=evals), 0, folder=tmp, names=['x']))
made = sorted((tmp/'x').glob('*.jsonl.gz'))
names = [str(i) for i in range(len(made))]
_,b = timed('stage 2: from lines to token shards', lambda: [tokenising(None, i, files=made, tokenizer=str(tmp/'tok'), folder=tmp/'t', names=names) for i in range(len(made))])
print(f"{'both stages':40} {mb/(a+b):7.1f} MB/s")
