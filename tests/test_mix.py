"What the mix promises, over mixes that nobody chose: exact sums, shares kept all along, passes, and rows that know nothing of ranks"
import json, re, shutil, tempfile
from contextlib import contextmanager
from fractions import Fraction
from math import floor
from pathlib import Path
from types import SimpleNamespace
import numpy as np, pytest
pytest.importorskip('hypothesis')
from hypothesis import assume, given, settings, strategies as st
from trionyx.core import TrionyxError
from trionyx.loader import PretrainData
from trionyx.mix import Mix, Source, largest_remainders
from trionyx.order import Order, pass_docs, pass_order
from trionyx.shards import write_shards

NAMES = 'wiki','questions','papers','books','law','foi'
repeats = st.integers(1, 350).map(lambda i: i/100)
sizes = st.lists(st.integers(1, 60), min_size=1, max_size=40)
seeds = st.integers(0, 3)

def exact(x): return Fraction(str(x))

@st.composite
def sources(draw, least=1, most=len(NAMES)):
    "Lengths of documents and a repeat for each of some sources; every repeat gives a document"
    names = draw(st.lists(st.sampled_from(NAMES), min_size=least, max_size=most, unique=True))
    return {k: (draw(sizes), draw(repeats)) for k in names}

@st.composite
def stated(draw):
    "A mix whose sources state their sizes, some their documents; some take a number of tokens"
    def source(k):
        toks,docs = draw(st.integers(1, 10**12)),draw(st.none() | st.integers(1, 10**9))
        return Source(k, tokens=toks, documents=docs, **draw(st.just({}) | repeats.map(lambda r: dict(repeat=r)) | st.integers(1, 2*toks).map(lambda n: dict(take=n))))
    return Mix('any', [source(k) for k in draw(st.lists(st.sampled_from(NAMES), min_size=1, unique=True))])

def mix_of(srcs): return Mix('any', [Source(k, repeat=r) for k,(_,r) in srcs.items()])
def whole(srcs): return all(floor(exact(r)*len(n)) for n,r in srcs.values())
def key(k, i): return int.from_bytes(f'{k}{i}'.encode()[-8:], 'big')*0x9E3779B97F4A7C15 % 2**64

def stub(srcs, keep=lambda k,i: True):
    "What `Order` asks of `Shards`, in memory; `keep` says which documents are not held out"
    at = {k: [i for i in range(len(n)) if keep(k, i)] for k,(n,_) in srcs.items()}
    return SimpleNamespace(sources=list(srcs), at=at, lengths=lambda k,split: np.array([srcs[k][0][i] for i in at[k]], np.int64),
                           keys=lambda k,split: np.array([key(k, i) for i in at[k]], np.uint64))

@contextmanager
def shards(srcs, val=(), **kw):
    "Shards on disk whose tokens tell source, document and place"
    def ids(s, n, d0=0): return [[10**6*s+10**3*(d0+d)+t for t in range(l)] for d,l in enumerate(n)]
    d = tempfile.mkdtemp()
    try: yield write_shards(Path(d)/'s', {k: dict(train=ids(s, n), **(dict(val=ids(s, val, 500)) if val else {})) for s,(k,(n,_)) in enumerate(srcs.items())}, n_vocab=10**8, **kw)
    finally: shutil.rmtree(d)

def by_source(o): return {k: np.asarray(o.doc)[np.asarray(o.src)==s].tolist() for s,k in enumerate(o.names)}

# --- what a budget draws

def check_parts(ws, total):
    "They sum to the total; those rounded up lost at least as much as those rounded down"
    parts = largest_remainders(ws, total)
    rest = [w*total%sum(ws) for w in ws]
    up = [p-w*total//sum(ws) for p,w in zip(parts, ws)]
    assert sum(parts)==total and set(up)<={0, 1} and all(r for r,u in zip(rest, up) if u)
    assert max([r for r,u in zip(rest, up) if not u], default=0)<=min([r for r,u in zip(rest, up) if u], default=sum(ws))

@given(st.lists(st.integers(1, 10**15), min_size=1, max_size=30), st.integers(1, 10**15))
def test_parts_add_up(ws, total): check_parts(ws, total)

def test_parts_of_large_numbers():
    "Products beyond what a float holds"
    rng = np.random.default_rng(0)
    for _ in range(2000): check_parts(rng.integers(1, 10**15, rng.integers(2, 19)).tolist(), int(rng.integers(1, 10**15)))

@given(stated(), st.integers(1, 10**12))
def test_draw_is_exact(mix, budget):
    "Tokens sum to the budget, each source within one of its share; documents are those in so much of its passes"
    budget = min(budget, mix.reach())
    try: df = mix.draw(budget)
    except TrionyxError as e: assert 'rounds to nothing' in str(e) and any(budget*w<sum(mix.weights.values()) for w in mix.weights.values()); return
    assert df.tokens.sum()==budget and df.tokens.dtype=='int64' and df.documents.dtype=='Int64' and (df.tokens>0).all()
    for s,row in zip(mix.sources, df.itertuples()):
        assert abs(row.tokens-Fraction(s.effective*budget, sum(mix.weights.values())))<1
        assert row.tokens<=s.effective and row.repeated==max(0, row.tokens-s.tokens) and row.epochs==row.tokens/s.tokens
        if s.documents is None: assert str(row.documents)=='<NA>'
        else:
            assert abs(row.documents-Fraction(row.tokens*s.documents, s.tokens))<=1+Fraction(s.documents, s.tokens)
            if not s.take and row.tokens==s.effective: assert row.documents==sum(pass_docs(s.documents, s.repeat))

@given(stated(), st.integers(1, 1200).map(lambda i: i/100), st.integers(0, 10**13))
def test_too_much_names_a_budget_that_is_not(mix, epochs, more):
    "Beyond the passes allowed is an error; the budget that it names can be drawn, within those passes"
    most = mix.reach(epochs)
    assume(most)
    try: mix.draw(most+more, max_epochs=epochs)
    except TrionyxError as e:
        if 'rounds to nothing' in str(e): return
        assert 'passes over source' in str(e) and int(re.search(r'budget to ([\d,]+), ', str(e))[1].replace(',', ''))==most
        try: df = mix.draw(most, max_epochs=epochs)
        except TrionyxError as e: assert 'rounds to nothing' in str(e); return
        assert all(t<=floor(exact(epochs)*s.tokens) for t,s in zip(df.tokens, mix.sources))
    else: assert more<=sum(mix.weights.values())/min(mix.weights.values())+1

@given(stated(), st.none() | st.lists(st.text(min_size=1).filter(str.strip), min_size=1).map(tuple), st.none() | st.sampled_from(['foi']))
def test_a_mix_is_plain_data(mix, path, clean):
    "Through JSON and back, the same mix; the same plain data, as a run that goes on compares it"
    mix = Mix('any', [*mix.sources, Source('own', path=path, clean=clean)])
    back = Mix.from_dict(json.loads(json.dumps(mix.to_dict())))
    assert back==mix and back.to_dict()==json.loads(json.dumps(mix.to_dict()))

# --- passes

def test_every_decimal_is_exact():
    "No repeat of two decimals loses a document to floating point: 0.29 of 100 are 29"
    for i in range(1, 300):
        for n in range(1, 101): assert sum(pass_docs(n, i/100))==i*n//100

@given(sizes, repeats, seeds)
def test_a_fraction_is_the_floor(lens, r, seed):
    "repeat r reads floor(r*n) documents: whole passes, then the first documents of one more"
    srcs,n = dict(wiki=(lens, r)),len(lens)
    if not whole(srcs):
        with pytest.raises(TrionyxError, match='rounds to nothing'): Order(stub(srcs), mix_of(srcs), seed)
        return
    docs = by_source(Order(stub(srcs), mix_of(srcs), seed))['wiki']
    assert len(docs)==floor(exact(r)*n)==sum(pass_docs(n, r))

@given(sources(), seeds)
def test_every_pass_is_a_permutation(srcs, seed):
    "All sources end together after floor(r*n) documents each; pass k is its own permutation, its last part a beginning of one"
    assume(whole(srcs))
    sh = stub(srcs)
    for k,docs in by_source(Order(sh, mix_of(srcs), seed)).items():
        n,r = len(srcs[k][0]),srcs[k][1]
        assert len(docs)==floor(exact(r)*n)
        for i in range(0, len(docs), n):
            part,want = docs[i:i+n],pass_order(sh.keys(k, 'train'), k, k=i//n, seed=seed)
            assert sorted(want)==list(range(n)) and part==want[:len(part)].tolist()

def test_passes_seeds_and_sources_differ():
    "No two of them give the same permutation, and none is that of the files"
    ks = stub(dict(wiki=([1]*500, 1))).keys('wiki', 'train')
    ps = [range(500)]+[pass_order(ks, name, k=k, seed=s) for name in ('wiki', 'foi') for k in (0, 1, 2) for s in (0, 1)]
    assert len({tuple(map(int, p)) for p in ps})==13
    assert all(np.mean(np.asarray(p)==np.asarray(q))<0.03 for i,p in enumerate(ps) for q in ps[:i])

@given(st.integers(1, 300), st.integers(0, 300), seeds)
def test_the_first_of_a_pass_are_its_first(n, m, seed):
    ks = stub(dict(wiki=([1]*n, 1))).keys('wiki', 'train')
    assert pass_order(ks, 'wiki', seed=seed, first=m).tolist()==pass_order(ks, 'wiki', seed=seed).tolist()[:m]

@given(sources(), st.integers(2, 5), seeds)
def test_held_out_documents_move_no_other(srcs, every, seed):
    "Without every j-th document of each source, the others come in each pass in the order they had"
    assume(all(len(n)>=2 for n,_ in srcs.values()))
    srcs = {k: (n, max(1, floor(r))) for k,(n,r) in srcs.items()}
    full,rest = stub(srcs),stub(srcs, lambda k,i: i%every!=1)
    a,b = [by_source(Order(o, mix_of(srcs), seed)) for o in (full, rest)]
    for k,(n,r) in srcs.items():
        m = len(rest.at[k])
        for p in range(r):
            kept = [i for i in a[k][p*len(n):(p+1)*len(n)] if i in rest.at[k]]
            assert [rest.at[k][i] for i in b[k][p*m:(p+1)*m]]==kept

@given(sources(least=2), seeds)
def test_other_sources_move_no_document(srcs, seed):
    assume(whole(srcs))
    together = by_source(Order(stub(srcs), mix_of(srcs), seed))
    for k in srcs: assert by_source(Order(stub(srcs), mix_of({k: srcs[k]}), seed))[k]==together[k]

# --- the order

def tokens_by(o, srcs):
    "(sources, positions) tokens of each source after each document"
    lens = np.diff(o.start)
    return np.array([np.cumsum(lens*(np.asarray(o.src)==s)) for s in range(len(srcs))]),np.cumsum(lens)

@given(sources(least=2), seeds, st.booleans(), st.data())
def test_no_source_is_a_document_off(srcs, seed, uneven, data):
    "At every prefix: ahead by less than its own longest document, behind by less than the longest of all"
    assume(whole(srcs))
    mix = mix_of(srcs)
    if uneven: mix = Mix('any', [Source(s.name, s.repeat, tokens=data.draw(st.integers(1, 10**4))) for s in mix.sources])
    try: o = Order(stub(srcs), mix, seed)
    except TrionyxError as e: assume('rounds to nothing' not in str(e)); raise
    got,N = tokens_by(o, srcs)
    lens = [max(n) for n,_ in srcs.values()]
    w = [Fraction(x) for x in o.due.weight]
    for s,own in enumerate(lens):
        off = got[s]-float(w[s]/sum(w))*N
        assert off.max()<own+1e-6 and -off.min()<max(lens)+1e-6

@given(sources(), seeds, st.data())
def test_a_smaller_budget_is_a_prefix(srcs, seed, data):
    assume(whole(srcs))
    mix,sh = mix_of(srcs),stub(srcs)
    big = Order(sh, mix, seed)
    a,b = sorted(data.draw(st.lists(st.integers(1, int(big.start[-1])), min_size=2, max_size=2)))
    for budget in (a, b):
        try: small = Order(sh, mix, seed, budget=budget)
        except TrionyxError as e: assert 'rounds to nothing' in str(e); continue
        n = len(small.doc)
        assert small.start[-1]>=budget>small.start[-2]
        for k in ('doc', 'src'): assert np.array_equal(getattr(small, k), getattr(big, k)[:n])
        assert np.array_equal(small.start, big.start[:n+1])

@given(sources(least=2), seeds, st.data())
def test_the_order_gives_what_is_drawn(srcs, seed, data):
    "After a budget, each source has given what `draw` says, within a document"
    assume(whole(srcs))
    sh = stub(srcs)
    big = Order(sh, mix_of(srcs), seed)
    mix = Mix('due', [Source(k, take=w, tokens=sum(srcs[k][0])) for k,w in zip(big.names, big.due.weight)])
    budget = data.draw(st.integers(1, mix.reach()))
    try: drawn,o = mix.draw(budget).tokens,Order(sh, mix_of(srcs), seed, budget=budget)
    except TrionyxError as e: assert 'rounds to nothing' in str(e); return
    got,N = tokens_by(o, srcs)
    longest = max(max(n) for n,_ in srcs.values())
    assert all(abs(g-d)<=longest+(N[-1]-budget)+1 for g,d in zip(got[:,-1], drawn))

def test_asking_for_more_than_there_is_names_the_source():
    srcs = dict(wiki=([9]*30, 1), foi=([5]*4, 2))
    with pytest.raises(TrionyxError, match="'foi'|'wiki'"): Order(stub(srcs), mix_of(srcs), budget=10**4)
    with pytest.raises(TrionyxError, match="found no documents|found none"): Order(stub(dict(wiki=([], 1))), mix_of(dict(wiki=([], 1))))
    with pytest.raises(TrionyxError, match='law'): Order(stub(srcs), mix_of(dict(wiki=([9], 1), law=([9], 1))))

# --- rows

def rows_of(sh, mix, seq, batch, bs, world, seed, packing='stream', steps=2):
    "All rows of the first steps, put together from the ranks' micro-batches"
    ds = [PretrainData(sh, mix, seq, batch, bs, r, world, seed=seed, packing=packing) for r in range(world)]
    steps = min(steps, ds[0].n_steps)
    return np.concatenate([np.concatenate([np.asarray(x), np.asarray(y)[:,-1:]], 1) for s in range(steps) for d in ds for x,y in d.batch(s)])

@settings(max_examples=12)
@given(sources(most=3), seeds, st.integers(2, 9), st.sampled_from(['stream', 'bestfit']))
def test_rows_know_no_ranks(srcs, seed, seq, packing):
    "World size and micro-batch share the rows out and change none; nor does a held-out split, or where the files are cut"
    srcs = {k: (n*3, 1+r) for k,(n,r) in srcs.items()}
    mix,batch = mix_of(srcs),4
    with shards(srcs) as sh, shards(srcs, val=[3, 5], most=37) as cut:
        assume(PretrainData(sh, mix, seq, 1, 1, packing=packing, seed=seed).n_steps>=2*batch)
        want = rows_of(sh, mix, seq, batch, 4, 1, seed, packing)
        for world,bs in ((1,1), (2,1), (2,2), (4,1)): assert np.array_equal(rows_of(sh, mix, seq, batch, bs, world, seed, packing), want)
        assert np.array_equal(rows_of(cut, mix, seq, batch, 1, 2, seed, packing), want)
        assert np.array_equal(rows_of(sh, mix, seq, batch//2, 1, 1, seed, packing, steps=4), want)
        assert want[:,0].max()<10**8 and not np.isin(want//10**3%10**3, [500, 501]).any()
