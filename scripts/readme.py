"Write README.md from nbs/index.ipynb: python scripts/readme.py [--check]"
import re, sys
from pathlib import Path

root = Path(__file__).resolve().parents[1]

def link(m):
    "A link relative to nbs/ becomes one relative to the root"
    pre,to = m.groups()
    return m[0] if re.match(r'[a-z]+:|[#/]', to) else pre + (to[3:] if to.startswith('../') else f'nbs/{to}')

def readme(path=root/'nbs/index.ipynb'):
    "nbconvert's Markdown of the notebook, its links seen from the root"
    import nbformat
    from nbconvert import MarkdownExporter
    nb = nbformat.read(path, 4)
    nb.metadata.language_info = dict(name='python')  # nbdev_clean drops it; with it, code is coloured
    md,_ = MarkdownExporter(exclude_raw=True).from_notebook_node(nb)
    return re.sub(r'(\]\(|\bsrc=")([^)\s"]+)', link, md).strip() + '\n'

if __name__=='__main__':
    if {'-h', '--help'} & set(sys.argv): sys.exit(print(__doc__))
    txt,out = readme(),root/'README.md'
    if '--check' not in sys.argv: out.write_text(txt, encoding='utf-8')
    elif out.read_text(encoding='utf-8')!=txt: sys.exit('README.md and nbs/index.ipynb differ: run python scripts/readme.py')
