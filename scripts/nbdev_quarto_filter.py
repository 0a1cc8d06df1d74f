#!/usr/bin/env python
"Quarto's ipynb filter: the notebook on standard input, as nbdev documents it, on standard output"
import ast, contextlib, json, os, re, sys
from collections import defaultdict
from itertools import takewhile
from pathlib import Path

os.environ['IN_TEST'] = '1'  # nbdev must not export while it documents
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

def loads(raw):
    "The JSON in `raw`, or None"
    try: return json.loads(raw)
    except ValueError: return None

def find(raw, folder='.'):
    "The notebook file in `folder` that says the same as `raw`, or None"
    d = loads(raw)
    return d and next((p for p in sorted(Path(folder).glob('*.ipynb')) if p.read_bytes()==raw or loads(p.read_bytes())==d), None)

def lookup(nb, lib):
    "nbdev's table of names as this notebook means them: its own, what it imports, and of the rest names that are unique and no plain word"
    from nbdev.doclinks import NbdevLookup
    nl,src = NbdevLookup(),'\n'.join(c.source for c in nb.cells if c.cell_type=='code')
    own = re.search(r'(?m)^#\|\s*default_exp (\S+)', src)
    ours = {n: m for m,ns in re.findall(rf'(?m)^from ({lib}\.\w+) import (\([^)]+\)|.+)', src) for n in re.findall(r'\w+', ns)}
    by = defaultdict(dict)
    for m,ds in nl.entries[lib]['syms'].items():
        for k,v in ds.items(): by[k.removeprefix(f'{m}.')][m] = v
    for k,ds in by.items():
        here = own and ds.get(f'{lib}.{own[1]}') or ds.get(ours.get(k.split('.')[0]))
        by[k] = here or (next(iter(ds.values())) if len(ds)==1 and re.search('[A-Z._]', k) else None)
    nl.syms.update(by)  # In place: one table serves all of nbdev, source links among them
    return nl

def document(raw, path):
    "`raw` with nbdev's documentation cells, hidden cells gone; links between our pages are relative, so the site works anywhere"
    from execnb.nbio import dict2nb, nb2str
    from nbdev.config import get_config
    from nbdev import processors as pr
    class Docs(pr.exec_show_docs):
        "Runs what is exported, for its signatures, and of the lessons only their imports: a lesson may need what ran before it"
        def __call__(self, cell):
            if {'export', 'exports', 'exporti'} & getattr(cell, 'directives_', {}).keys() or 'show_doc(' in (cell.source or ''): return super().__call__(cell)
            if cell.cell_type!='code' or not cell.source or not self.nb.has_docs_: return
            if imps:=[ast.unparse(o) for o in cell.parsed_() or [] if isinstance(o, (ast.Import, ast.ImportFrom))]: self.k.run_cell('\n'.join(imps))
    class InOrder(pr.add_show_docs):
        "Documents what a cell defines in the order of the cell, where nbdev begins with the last"
        def begin(self):
            super().begin()
            cells = self.nb.cells
            for i,c in enumerate(cells):
                c.docs_ = list(takewhile(lambda o: getattr(o, 'has_sd', 0), cells[i+1:]))[::-1] if not getattr(c, 'has_sd', 0) else []
                cells[i+1:i+1+len(c.docs_)] = c.docs_
    class DocsFirst(pr.mv_exports):
        "Moves the source of what is exported behind all that documents it"
        def begin(self):
            cells = self.nb.cells
            for i,c in list(enumerate(cells)):
                if 'exports' in getattr(c, 'directives_', {}) and (ds := getattr(c, 'docs_', [])): cells[i:i+len(ds)+1] = [*ds, c]
    nb,cfg = dict2nb(json.loads(raw)),get_config()
    nb.path_ = path.absolute()
    nl = lookup(nb, cfg.lib_name)
    def links(cell):
        "Names become links in text, but not in the fenced code of a signature, where nbdev puts them too"
        if cell.cell_type=='markdown': cell.source = nl.linkify(cell.source)
        for o in cell.get('outputs') or []:
            if md := o.get('data', {}).get('text/markdown'): o['data']['text/markdown'] = nl.linkify(''.join(md))
    class Filter(pr.FilterDefaults):
        def base_procs(self): return [{pr.exec_show_docs: Docs, pr.add_links: links, pr.add_show_docs: InOrder, pr.mv_exports: DocsFirst}.get(o, o) for o in super().base_procs()]
    with contextlib.redirect_stdout(sys.stderr): Filter()(nb)
    return nb2str(nb).replace(f"]({cfg.doc_host.rstrip('/')}/{cfg.doc_baseurl.strip('/')}/", '](')

if __name__=='__main__':
    raw = sys.stdin.buffer.read()
    path = find(raw)
    sys.stdout.buffer.write(document(raw, path).encode() if path else raw)
