#!/usr/bin/env python
"Quarto's ipynb filter: the notebook on standard input, as nbdev documents it, on standard output"
import ast, contextlib, json, os, sys
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
    class Filter(pr.FilterDefaults):
        def base_procs(self): return [Docs if o is pr.exec_show_docs else o for o in super().base_procs()]
    nb,cfg = dict2nb(json.loads(raw)),get_config()
    nb.path_ = path.absolute()
    with contextlib.redirect_stdout(sys.stderr): Filter()(nb)
    return nb2str(nb).replace(f"]({cfg.doc_host.rstrip('/')}/{cfg.doc_baseurl.strip('/')}/", '](')

if __name__=='__main__':
    raw = sys.stdin.buffer.read()
    path = find(raw)
    sys.stdout.buffer.write(document(raw, path).encode() if path else raw)
