"""The order and the packing plan at full size: 18 sources, 200 million documents, 183 billion tokens; not run by pytest.

    python tests/full_size.py                  # all stages, one process each, a table at the end
    python tests/full_size.py order 12e9       # one stage: make | order | open | bestfit | ledger

Real shards, except that their tokens are holes in sparse files: lengths log-normal, mean by source, keys random, tables of ids and
licences. 6 GB on disk under $FULL_SIZE (default /tmp/trionyx-full), kept for the next call."""
import json, os, resource, subprocess, sys, time
from pathlib import Path
import numpy as np

where = Path(os.environ.get('FULL_SIZE', '/tmp/trionyx-full'))
DOCS,SHARD = 200_000_000,100_000_000
# mean tokens of a document, relative: encyclopedia and questions short, books long; scaled so that the documents are 200 million
MEAN = dict(wikimedia=1., stackexchange=0.8, pes2o=7, gutenberg=90, caselaw=3, pubmed=9, pre_1929_books=90, arxiv_papers=20, uk_hansard=40, youtube=2,
            doab=10, regulations=7, usgpo=4, arxiv_abstracts=0.25, ubuntu_irc=2, libretexts=2, news=1, foi=0.5)

def mix():
    from trionyx.mix import trionyx_mix
    return trionyx_mix()

def sizes():
    "Per source tokens and documents"
    toks = {o.name: o.tokens or 500_000_000 for o in mix().sources}
    rel = {k: t/MEAN.get(k, 3) for k,t in toks.items()}
    f = DOCS/sum(rel.values())
    return {k: (t, round(rel[k]*f)) for k,t in toks.items()}

def write_source(d, k, toks, n, rng):
    "Index, keys, table and sparse tokens of one source, with files like real ones"
    import pyarrow as pa, pyarrow.parquet as pq
    lens = rng.lognormal(0, 1, n).astype(np.float32)
    lens = np.maximum(lens*np.float32(toks/lens.sum(dtype=np.float64)), 2).astype(np.int32)
    ends,i,j,files = np.cumsum(lens, dtype=np.int64),0,0,{}
    d.mkdir(parents=True)
    while i<n:
        m = min(n, int(np.searchsorted(ends, (ends[i-1] if i else 0)+SHARD))+1)
        stem,l = d/f'train-{j:05d}',lens[i:m]
        np.save(f'{stem}.idx.npy', np.concatenate([[0], np.cumsum(l, dtype=np.int64)]))
        np.save(f'{stem}.key.npy', rng.integers(0, 2**64, m-i, np.uint64))
        with open(f'{stem}.bin', 'wb') as f: f.truncate(2*int(l.sum()))
        num = pa.array(np.arange(i, m))
        lic = pa.DictionaryArray.from_arrays(pa.array(np.arange(i, m)%3, pa.int8()), pa.array(['CC BY-SA 4.0', 'CC0', 'Public Domain'])).cast(pa.string())
        t = pa.table(dict(id=num.cast(pa.string()), license=lic, url=pa.nulls(m-i, pa.string()), bytes=pa.array(4*l.astype(np.int64))))
        pq.write_table(t, f'{stem}.docs.parquet', compression='zstd', row_group_size=1<<13)
        i,j = m,j+1
    return dict(documents=n, tokens=int(ends[-1]), bytes=4*int(ends[-1]), shards=j, licenses={'CC BY-SA 4.0': n//3+1, 'CC0': n//3, 'Public Domain': n//3})

def make():
    "All shards, and a manifest with sizes; hashes are made up, for 364 GB of holes need none"
    from trionyx.core import write_json
    if (where/'tokens/manifest.json').exists(): return
    rng,src = np.random.default_rng(0),{}
    for k,(t,n) in sizes().items():
        src[k] = dict(train=write_source(where/'tokens'/k, k, t, n, rng), val=dict(documents=0, tokens=0, bytes=0, shards=0, licenses={}))
        print(f'{k}: {n:,} documents, {t/1e9:.2f}B tokens, {src[k]["train"]["shards"]} shards', file=sys.stderr)
    fs = {p.relative_to(where/'tokens').as_posix(): dict(bytes=p.stat().st_size, sha256='0'*64) for p in sorted((where/'tokens').rglob('*.*'))}
    write_json(where/'tokens/manifest.json', dict(kind='tokens', tokenizer='none', vocab=32768, dtype='<u2', sources=src, files=fs))

def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss/1e3
def rss(what='VmRSS'): return next(int(l.split()[1]) for l in open('/proc/self/status') if l.startswith(what))/1e3
def shards():
    from trionyx.shards import Shards
    return Shards(where)

def find(budget, packing='stream', seq=2048):
    from trionyx.loader import find_rows
    n = int(float(budget))//seq if budget!='all' else None
    return find_rows(shards(), mix(), seq, n, packing, orders=where/'orders')

def order(budget, packing='stream'):
    "Make and store; a second call finds it"
    t,c = time.perf_counter(),time.process_time()
    r = find(budget, packing)
    secs,cpu = time.perf_counter()-t,time.process_time()-c
    size = sum(p.stat().st_size for p in r.order.folder.iterdir())
    return dict(stage=f'{packing} {budget}', documents=len(r.order.doc), tokens=int(r.order.start[-1]), rows=r.n, secs=round(secs, 1), cpu_secs=round(cpu, 1), peak_MB=round(peak()), stored_MB=round(size/1e6))

def opened(budget, packing='stream'):
    "Open it in a new process and ask for rows at random"
    import pandas, trionyx.loader
    base,t = rss(),time.perf_counter()
    r = find(budget, packing)
    secs,rng = time.perf_counter()-t,np.random.default_rng(time.time_ns())
    mb = f"{rss()-base:.0f} on opening"
    def ms(fn, n=1000):
        ts = [(time.perf_counter(), fn(int(i)))[0] for i in rng.integers(0, r.n, n)]+[time.perf_counter()]
        return ' / '.join(f'{1e3*o:.2f}' for o in np.quantile(np.diff(ts), [0.5, 0.99, 1]))
    res = {k: ms(fn) for k,fn in dict(pieces_ms=lambda i: r.pack.pieces(i, i+1), spans_ms=r.spans, row_ms=r.row).items()}
    return dict(stage=f'open {packing} {budget}', rows=r.n, open_secs=round(secs, 2), MB=f"{mb}, {rss('RssAnon'):.0f} own + {rss('RssFile'):.0f} mapped after 3,000 rows", **res)

def ledger(budget):
    "What the ledger costs: a record, the counts of a whole run, ten steps by name, one document"
    from trionyx.ledger import Ledger, doc_table, find_doc, steps_table, tally
    r,batch,res = find(budget),512,{}
    n = r.n//batch
    led = Ledger(where/'run/ledger')
    led.path.unlink(missing_ok=True)
    def timed(k, fn):
        t = time.perf_counter()
        out = fn()
        res[k] = round(time.perf_counter()-t, 2)
        return out
    timed('log all steps, s', lambda: [led.append(dict(step=i, rows=[i*batch, (i+1)*batch])) for i in range(n)])
    got = timed('tally, s', lambda: tally(r, led.rows()))
    timed('ten steps by name, s', lambda: steps_table(r, led.read()[100:110]))
    doc = int(r.order.doc[10**6])
    timed('one document, s', lambda: doc_table(r, led.read(), [(r.order.names[r.order.src[10**6]], doc)]))
    timed('its id in 200M, s', lambda: find_doc(r.order.shards, r.order.names, '12345678'))
    return dict(stage=f'ledger {budget}', steps=n, bytes_per_step=round(led.path.stat().st_size/n, 1), us_per_step=round(1e6*res.pop('log all steps, s')/n, 1), tokens=sum(t for by in got.values() for t,_ in by.values()), peak_MB=round(peak()), **res)

STAGES = dict(make=make, order=order, open=opened, ledger=ledger)

if __name__=='__main__':
    if len(sys.argv)>1: print(json.dumps(STAGES[sys.argv[1]](*sys.argv[2:])))
    else:
        todo = ['make', *(f'{k} {b}' for b in ('12e9', '40e9') for k in ('order', 'open')), 'order 12e9 bestfit', 'open 12e9 bestfit', 'ledger 12e9']
        for o in todo: subprocess.run([sys.executable, __file__, *o.split()], check=True)
