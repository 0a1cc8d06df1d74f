"What the house's tests share; `python tests/house.py snapshot` prints a hash of each file that git would keep"
import ast, configparser, hashlib, importlib.util, os, re, subprocess, sys
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from pathlib import Path

root = Path(__file__).resolve().parents[1]
IGNORED = {'.git', '.venv', '.venv.lock', '__pycache__', '.pytest_cache', '.hypothesis', '.ruff_cache', '.ipynb_checkpoints', '.quarto', '_docs', '_proc', 'runs', 'build', 'dist'}

NUM = r'(\d\d[a-z]?)_(\w+)'  # 02_mix, or 02b_documents where a subject needs two notebooks

def settings(path=root/'settings.ini'):
    "The `[DEFAULT]` section of settings.ini"
    cfg = configparser.ConfigParser(delimiters='=')
    cfg.read(path, encoding='utf-8')
    return cfg['DEFAULT']

def notebooks(): return sorted((root/'nbs').glob('*.ipynb'))
def numbered(): return [p for p in notebooks() if re.match(NUM, p.name)]
def modules(): return sorted(p for p in (root/'trionyx').rglob('*.py') if not p.name.startswith('_'))
def mod_name(p): return '.'.join(p.relative_to(root).with_suffix('').parts)

def norm(name): return re.sub(r'[-_.]+', '-', name).lower()

def closure(reqs):
    "Names of the installed distributions that `reqs` bring with them, themselves included"
    from packaging.requirements import Requirement
    seen,todo = set(),[Requirement(o) for o in reqs]
    while todo:
        r = todo.pop()
        for extra in {'', *r.extras}:
            if (key:=(norm(r.name), extra)) in seen: continue
            seen.add(key)
            try: deps = [Requirement(o) for o in distribution(r.name).requires or []]
            except PackageNotFoundError: continue
            todo += [d for d in deps if d.marker is None or d.marker.evaluate({'extra': extra})]
    return {n for n,_ in seen}

def foreign(allowed):
    "Top-level modules that only distributions outside `allowed` provide"
    return sorted(m for m,ds in packages_distributions().items() if not {norm(d) for d in ds} & set(allowed))

def snapshot(folder=root):
    "SHA-256 of each file in `folder` that a clone would hold"
    res = {}
    for d,ds,fs in os.walk(folder):
        ds[:] = sorted(o for o in ds if o not in IGNORED and not o.endswith('.egg-info'))
        for f in sorted(fs):
            p = Path(d)/f
            if p.suffix!='.pyc' and p.is_file(): res[str(p.relative_to(folder))] = hashlib.sha256(p.read_bytes()).hexdigest()
    return res

def changes(a, b):
    "Files that differ between two snapshots"
    return sorted(k for k in a.keys() | b.keys() if a.get(k)!=b.get(k))

def run(*args, **kw):
    "Run a command; its text output comes back"
    return subprocess.run([str(o) for o in args], capture_output=True, text=True, **kw)

def imports(path):
    "Every dotted name that the file imports, also inside functions"
    for n in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(n, ast.Import): yield from (a.name for a in n.names)
        elif isinstance(n, ast.ImportFrom):
            base = '.'.join([*(['trionyx'] if n.level else []), *([n.module] if n.module else [])])
            yield from [base] if n.module else (f'{base}.{a.name}' for a in n.names)

def extra(name):
    "A package that scripts/test.sh installs apart, so that the demo's corpus does not change with it; skips where it is missing"
    d = root/f'.venv/extra/{name}'
    import pytest
    if not d.is_dir() and not importlib.util.find_spec(name): pytest.skip(f'{name} is not installed (scripts/test.sh does)')
    if d.is_dir() and str(d) not in sys.path: sys.path.append(str(d))
    return importlib.import_module(name)

if __name__=='__main__' and sys.argv[1:]==['snapshot']:
    for k,v in snapshot().items(): print(v, k)
