"""Run notebooks from top to bottom in Jupyter's own kernel, and compare what comes out with what is stored:

    python tests/fresh.py                    all of them, two at a time
    python tests/fresh.py 05_model tour      only these
    python tests/fresh.py --write            keep the fresh outputs

A notebook that shows something else runs again. What differs between these two runs as well, as times do, varies: it is no fault, and --write keeps
what is stored, unless the cell or one above it was edited since HEAD. What comes out alike twice and is not what is stored is stale.
"""
import argparse, base64, json, os, re, subprocess, sys, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
import nbformat
from house import root

SKIPPED = r'(?m)^#\|\s*(notest|cuda|slow|eval:\s*false)\b'  # Cells that a plain run leaves out
ENV = dict(TQDM_DISABLE='1', TOKENIZERS_PARALLELISM='false', HF_HUB_OFFLINE='1')

def execute(path, timeout=900):
    "The notebook with fresh outputs; cells that are left out keep theirs. Raises `CellExecutionError`"
    from nbclient import NotebookClient
    nb = nbformat.read(path, 4)
    meta = dict(nb.metadata)
    left = {c.id: (c.source, c.outputs) for c in nb.cells if c.cell_type=='code' and re.search(SKIPPED, c.source)}
    for c in nb.cells:
        if c.id in left: c.source = 'None'
    NotebookClient(nb, timeout=timeout, kernel_name='python3', resources=dict(metadata=dict(path=str(Path(path).parent)))).execute()
    for c in nb.cells:
        if c.id in left: c.source,c.outputs = left[c.id]
        if c.cell_type!='code': continue
        c.execution_count,c.metadata = None,{k: v for k,v in c.metadata.items() if k!='execution'}
        c.outputs = [o for o in c.outputs if o.get('name')!='stderr']
        for o in c.outputs:
            if 'execution_count' in o: o.execution_count = None
    nb.metadata = nbformat.from_dict(meta)
    return nb

def pixels(png):
    "A picture as numbers"
    from io import BytesIO
    from matplotlib.image import imread
    return imread(BytesIO(base64.b64decode(png)))

def same_picture(a, b):
    "Do two PNGs show the same? Versions of a library may smooth a line otherwise. SVGs are text, and equal or not"
    if '<svg' in a+b: return a==b
    x,y = pixels(a),pixels(b)
    return x.shape==y.shape and abs(x-y).mean()<.002

def shown(cell):
    "What a reader sees below a cell: text, and pictures"
    outs = [o for o in cell.get('outputs', []) if o.get('name')!='stderr']
    text = ''.join(o.text if o.output_type=='stream' else o.get('data', {}).get('text/plain', '')+'\n' for o in outs)
    return re.sub(r' at 0x[0-9a-f]+', '', text).strip(),[v for o in outs for k in ('image/png', 'image/svg+xml') if (v:=o.get('data', {}).get(k))]

def shape(text): return re.sub(r'[-\s]+', ' ', re.sub(r'[\d.,]*\d', '0', text))

def same(a, b):
    "Do two cells show a reader the same?"
    (t,ps),(u,qs) = shown(a),shown(b)
    return t==u and len(ps)==len(qs) and all(map(same_picture, ps, qs))

def alike(a, b):
    "Do two cells show the same but for numbers and what pictures hold?"
    (t,ps),(u,qs) = shown(a),shown(b)
    return shape(t)==shape(u) and len(ps)==len(qs)

def differing(old, new):
    "Places of the cells below which a reader sees something else"
    return [i for i,(a,b) in enumerate(zip(old.cells, new.cells)) if a.cell_type=='code' and not re.search(SKIPPED, a.source) and not same(a, b)]

def committed(path):
    "Sources of a notebook's cells in HEAD, by id; none where there is no such file"
    r = subprocess.run(['git', 'show', f'HEAD:./{path.name}'], cwd=path.parent, capture_output=True, text=True)
    return {c['id']: ''.join(c['source']) for c in json.loads(r.stdout)['cells'] if 'id' in c} if r.returncode==0 else {}

def check(path, write=False):
    "Run one notebook; its name, seconds, and for each cell that shows something else: what it is, source, stored and fresh text"
    old,t,varies = nbformat.read(path, 4),time.monotonic(),set()
    try:
        new = execute(path)
        took,at = time.monotonic()-t,differing(old, new)
        if at: varies = {i for i in set(at) & set(differing(new, execute(path))) if alike(old.cells[i], new.cells[i])}
    except Exception as e: return path.stem,time.monotonic()-t,[('error', '', '', re.sub('\x1b\\[[0-9;]*m', '', str(e))[-1500:])]
    res = [('varies' if i in varies else 'stale', old.cells[i].source, shown(old.cells[i])[0], shown(new.cells[i])[0]) for i in at]
    was,stale,edited = committed(path),set(at)-varies,False
    for i,(a,b) in enumerate(zip(old.cells, new.cells)):
        if a.cell_type!='code': continue
        edited |= bool(was) and was.get(a.id)!=a.source
        if i not in stale and not edited: b.outputs = a.outputs
    if write and differing(old, new): nbformat.write(new, path)
    return path.stem,took,res

if __name__=='__main__':
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('names', nargs='*')
    p.add_argument('--write', action='store_true', help='Keep fresh outputs')
    p.add_argument('--jobs', type=int, default=2, help='Notebooks at a time')
    a = p.parse_args()
    os.environ.update(ENV)
    os.environ['PYTHONPATH'] = f"{root}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    paths = [root/'nbs'/f"{Path(o).name.removesuffix('.ipynb')}.ipynb" for o in a.names] or sorted((root/'nbs').glob('*.ipynb'))
    bad = 0
    with ThreadPoolExecutor(a.jobs) as ex:
        for name,secs,res in ex.map(lambda o: check(o, a.write), paths):
            off = [o for o in res if o[0]!='varies']
            bad += bool(off)
            print(f"{'differs' if off else 'same   '} {name} ({secs:.0f} s){f', {len(res)-len(off)} cells vary' if len(res)>len(off) else ''}", flush=True)
            for what,src,t,u in off: print(f'  {what}{" picture" if t==u else ""}: {src.strip().splitlines()[-1][:100] if src else ""}\n    stored: {t[:200]!r}\n    fresh:  {u[-1500:] if what=="error" else repr(u[:200])}', flush=True)
    print(f'{len(paths)-bad} as stored, {bad} not')
    sys.exit(bad>0 and not a.write)
