"The sources of the site, tested without Quarto: sidebar, front matter, links, stored outputs, the filter, README.md"
import json, os, re, sys, unicodedata
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
import nbformat, pytest, yaml
from house import *

nbs = {p.name: nbformat.read(p, 4) for p in notebooks()}
names = sorted(nbs)
chapters = [n for n in names if re.match(NUM, n)]
guides = ['tour.ipynb', 'failures.ipynb']  # Pages without code of their own: one stands before the chapters, one after them
book = [guides[0], *chapters, guides[1]]
quarto = yaml.safe_load((root/'_quarto.yml').read_text(encoding='utf-8'))
every,each,under = (pytest.mark.parametrize('name', o) for o in (names, chapters, book))
sys.path.insert(0, str(root/'scripts'))

def sidebar(o=None):
    "The pages of the sidebar, in order"
    for c in quarto['website']['sidebar']['contents'] if o is None else o: yield from [c] if isinstance(c, str) else sidebar(c['contents'])

def markdown(nb): return [c.source for c in nb.cells if c.cell_type=='markdown']
def prose(txt): return re.sub(r'(?s)```.*?```|~~~.*?~~~|<!--.*?-->|`[^`\n]*`|\$\$.*?\$\$', '', txt)
def headings(txt): return re.findall(r'(?m)^(#{1,6})\s+(.*?)\s*$', re.sub(r'(?s)```.*?```', '', txt))

# ---- sidebar and front matter

def test_sidebar_holds_every_notebook_in_order():
    assert [o for o in sidebar() if o.endswith('.ipynb')] == ['nbs/index.ipynb', *(f'nbs/{n}' for n in book)]
    assert all((root/o).is_file() for o in sidebar())

def test_every_notebook_has_its_place(): assert set(names)=={'index.ipynb', *book}

def test_sidebar_has_its_parts():
    parts = [o['section'] for o in quarto['website']['sidebar']['contents'] if isinstance(o, dict)]
    assert parts==['Data', 'Model', 'Training', 'Use', 'Help']

def test_quarto_settings():
    assert quarto['project']['output-dir']=='_docs' and quarto['execute']['enabled'] is False
    assert [(root/'nbs'/f).resolve() for f in quarto['ipynb-filters']] == [root/'scripts/nbdev_quarto_filter.py']
    assert quarto['project']['render'][:2]==['nbs/index.ipynb', 'nbs/*.ipynb']
    html = quarto['format']['html']
    assert html['html-math-method']=='mathml' and set(html['theme'])=={'light', 'dark'} and quarto['website']['search']
    assert all((root/o).is_file() for v in html['theme'].values() for o in v if o.endswith('.scss'))
    s = settings()
    assert s['doc_baseurl']=='/trionyx/nbs' and s['doc_path']=='_docs' and s['custom_sidebar']=='True'

@every
def test_notebook_is_valid(name): nbformat.validate(nbs[name])

@under
def test_front_matter(name):
    first = nbs[name].cells[0]
    assert first.cell_type=='raw', 'the first cell is raw front matter'
    m = re.fullmatch(r'---\n(.*)\n---\s*', first.source, re.S)
    assert m and yaml.safe_load(m[1])['output-file'] == re.sub(r'^\d\d[a-z]?_', '', Path(name).stem) + '.html'

@every
def test_title_cell_holds_only_title_description_and_keys(name):
    h1 = [c for c in markdown(nbs[name]) if any(h=='#' for h,_ in headings(c))]
    assert len(h1)==1, 'exactly one cell has an H1'
    title,*rest = [o for o in h1[0].splitlines() if o.strip()]
    assert re.match(r'# \S', title) and any(o.startswith('> ') for o in rest)
    assert not (lost:=[o for o in rest if not re.match(r'> \S|- [\w-]+: \S', o)]), f'Quarto drops these lines of the title cell: {lost}'
    keys = [o[2:] for o in rest if o.startswith('- ')]
    assert isinstance(yaml.safe_load('\n'.join(keys)) if keys else {}, dict)
    assert next(c for c in nbs[name].cells if c.cell_type=='markdown').source==h1[0], 'the title comes first'

INSTALL = """#| hide
try: import trionyx
except ImportError: get_ipython().run_line_magic('pip', 'install -q git+https://github.com/trionyx/trionyx')  # On Colab and its like"""

@pytest.mark.parametrize('name', guides)
def test_guides_install_too(name): assert next(c for c in nbs[name].cells if c.cell_type=='code').source.strip()==INSTALL

@each
def test_notebook_exports_and_ends_together(name):
    nb,mod = nbs[name],re.match(NUM, Path(name).stem)[2]
    assert [c for c in nb.cells if c.cell_type=='code'][0].source.strip()==f'#| default_exp {mod}\n{INSTALL}'
    assert [t for o in markdown(nb) for h,t in headings(o) if h=='##'][-1]=='Together'
    assert len(nb.cells)<=90

# ---- links

def anchor(title):
    "The identifier that pandoc gives to a heading"
    if m:=re.search(r'\{[^}]*#([\w:.-]+)[^}]*\}\s*$', title): return m[1]
    t = re.sub(r'\{[^}]*\}\s*$', '', title)
    t = re.sub(r'!?\[([^\]]*)\]\([^)]*\)', r'\1', t)
    t = ''.join(o for o in unicodedata.normalize('NFC', t) if o.isalnum() or o in '_-. ' or o.isspace())
    return re.sub(r'^[^a-z]+', '', re.sub(r'\s+', '-', t.strip()).lower()) if re.search(r'[A-Za-z]', t) else 'section'

def symbols(nb):
    "Names that nbdev documents in this notebook, as anchors"
    src = [c.source for c in nb.cells if c.cell_type=='code' and re.search(r'(?m)^#\|\s*exports?\b', c.source)]
    plain = {m.lower() for s in src for m in re.findall(r'(?m)^(?:async )?(?:def|class) (\w+)', s)}
    return plain | {f'{k}.{m}'.lower() for s in src for m,k in re.findall(r'(?m)^@patch\b.*\n(?:async )?def (\w+)\(\s*self:\s*(\w+)', s)}

def anchors(name): return {anchor(t) for o in markdown(nbs[name]) for _,t in headings(o)} | symbols(nbs[name])

def links(txt):
    "Targets of the links and images in Markdown"
    t = prose(txt)
    ms = re.findall(r'\]\(\s*<?([^)\s>]+)>?(?:\s+"[^"]*")?\s*\)', t)
    return ms + re.findall(r'<(?:img|a)\b[^>]*\b(?:src|href)="([^"]+)"', t) + re.findall(r'(?m)^\[[^\]]+\]:\s*(\S+)', t)

def broken(name):
    for to in (o for t in markdown(nbs[name]) for o in links(t)):
        if re.match(r'https?://', to):
            if not re.match(r'https?://[\w.-]+\.\w+(:\d+)?(/\S*)?$', to): yield f'{to}: not an address'
        elif re.match(r'[a-z]+:', to):
            if not to.startswith(('mailto:', 'attachment:')): yield f'{to}: unknown scheme'
        else:
            path,_,frag = to.partition('#')
            if path.endswith('.html') : yield f'{to}: link to the notebook, Quarto makes it a page'
            elif path and (path.startswith('/') or not (root/'nbs'/path).is_file()): yield f'{to}: no such file'
            elif frag and (path or name).endswith('.ipynb') and frag not in anchors(path or name): yield f'{to}: no such heading'
            elif path and not path.endswith('.ipynb') and not on_site((root/'nbs'/path).resolve()): yield f'{to}: not part of the site; add it to resources in _quarto.yml'

def on_site(p):
    "Is this file rendered, or copied as a resource?"
    rel = p.relative_to(root)
    return any(rel.match(o) for o in quarto['project']['render'] + quarto['project'].get('resources', []))

@every
def test_links_resolve(name): assert not (bad:=list(broken(name))), bad

def test_a_wrong_link_is_found(monkeypatch):
    cell = nbformat.v4.new_markdown_cell('[a](nowhere.ipynb) ![b](images/none.png) [c](#nothing) [d](index.ipynb#nothing) [e](core.html) `[code](x.png)` [f](ftp://x.y) [g](../setup.py)')
    monkeypatch.setitem(nbs, 'index.ipynb', nbformat.v4.new_notebook(cells=[cell]))
    assert [o.split(':')[0] for o in broken('index.ipynb')]==['nowhere.ipynb', 'images/none.png', '#nothing', 'index.ipynb#nothing', 'core.html', 'ftp', '../setup.py']

@pytest.mark.parametrize('title,want', [('Errors a person can act on', 'errors-a-person-can-act-on'), ('`GPTConfig`, the dial', 'gptconfig-the-dial'),
    ('2 ranks, one loss', 'ranks-one-loss'), ('Mix {#the-mix}', 'the-mix'), ('A [link](x.html) in it', 'a-link-in-it')])
def test_anchors_as_pandoc_makes_them(title, want): assert anchor(title)==want

def test_links_between_modules_lead_to_pages():
    if not (root/'trionyx/_modidx.py').exists(): pytest.fail('trionyx/_modidx.py is missing: run nbdev_export')
    ns = {}
    exec((root/'trionyx/_modidx.py').read_text(encoding='utf-8'), ns)
    made = {yaml.safe_load(nbs[n].cells[0].source.strip('-\n'))['output-file'] for n in chapters}
    assert {page.split('#')[0] for d in ns['d']['syms'].values() for page,_ in d.values()}==made

def test_errors_lead_to_sections_that_are_there():
    from trionyx.core import SECTIONS, SITE
    s = settings()
    assert SITE==f"{s['doc_host']}{s['doc_baseurl']}/"
    assert not set(SECTIONS)-anchors('failures.ipynb')
    for k in ' '.join(SECTIONS.values()).split():
        if '.' in k:
            mod,fn = k.split('.')
            assert re.search(rf'(?m)^(    )?def {fn}\(', (root/f'trionyx/{mod}.py').read_text(encoding='utf-8')), f'{k} in trionyx.core.SECTIONS is gone'

# ---- stored outputs

def texts(nb):
    "Each stored output as text, with its cell"
    for c in nb.cells:
        for o in c.get('outputs', []):
            if o.output_type=='stream': yield o.text,c
            elif o.output_type=='error': yield '\n'.join(o.traceback),c
            else: yield from ((t if isinstance(t, str) else json.dumps(t), c) for k,t in o.data.items() if k.startswith(('text/', 'application/')))

BAD = {'an absolute path': r'(?<![\w.:/<])/(?:home|root|work|tmp|Users|usr|opt|var|private|mnt|content|workspace)/\w', 'a Windows path': r'\b[A-Z]:\\\w',
       'a traceback': r'Traceback \(most recent call last\)', 'a warning': r'\b\w*Warning\b(?!s? of)|^WARNING\b', 'an escape sequence': '\x1b',
       'a progress bar': r'\d+%\|[ █▏▎▍▌▋▊▉#]+\||\bit/s\]', 'an address in memory': r'\bat 0x[0-9a-f]{6,}',
       'a gap as pandas writes it': r'\bNaN\b|<NA>|&lt;NA&gt;', "an array as numpy writes it": r'\barray\(\[', 'a footer of pandas': r'\bdtype: \w+$'}

@every
def test_stored_outputs(name):
    nb = nbs[name]
    for t,c in texts(nb):
        for what,r in BAD.items(): assert not (m:=re.search(r, t, re.M)), f'{what} in an output: {t[max(0, m.start()-60):m.end()+60]!r}, of the cell\n{c.source}'
        assert (k:=t.count('<tr' if '<tr' in t else '\n'))<=45, f'{k} lines of output, more than a screen, of\n{c.source}'
    for c in nb.cells:
        for o in c.get('outputs', []):
            assert o.output_type!='error' and o.get('name')!='stderr', f'an error or standard error is stored under\n{c.source}'
            for k,v in o.get('data', {}).items():
                if k.startswith('image/'): assert len(v)<400_000, f'{len(v)/1e3:.0f} kB of image under\n{c.source}'
    if any(c.cell_type=='code' for c in nb.cells): assert any(c.get('outputs') for c in nb.cells if c.cell_type=='code'), 'run the notebook before it is saved'

def width(png):
    "Pixels across, from the header of a PNG"
    import base64, struct
    return struct.unpack('>I', base64.b64decode(png[:48])[16:20])[0]

@every
def test_figures_are_narrow(name):
    for c in nbs[name].cells:
        for o in c.get('outputs', []):
            if png:=o.get('data', {}).get('image/png'): assert width(png)<=760, f'{width(png)} pixels wide, under\n{c.source}'

def test_one_palette():
    "All figures, those of a run's report too, in the same colours; a cell names them C0 to C6, or a grey"
    from trionyx import page
    cycle = re.findall(r"'([0-9A-F]{6})'", (root/'nbs/matplotlibrc').read_text())
    assert [f'#{o}' for o in cycle[:4]]==[o.upper() for o in (page.BLUE, page.RED, page.GREEN, page.ORANGE)]
    for n,nb in nbs.items():
        for c in nb.cells:
            if any('image/png' in o.get('data', {}) for o in c.get('outputs', [])):
                odd = [o for o in re.findall(r"'#([0-9a-fA-F]{3}|[0-9a-fA-F]{6})\b", c.source) if len({*re.findall('.'*(len(o)//3), o)})>1]
                assert not odd, f'{n}: colour {odd} in\n{c.source}'

# ---- stepping through, in Jupyter's own kernel

def test_fresh_outputs_are_compared(tmp_path, monkeypatch):
    import fresh
    cells = ["import random, sys\nrandom.seed(0)\nrandom.random()", "import random\nrandom.SystemRandom().random()", "print('x', file=sys.stderr)\n'y'", "#| eval: false\n1/0"]
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(o) for o in cells]), tmp_path/'a.ipynb')
    name,_,first = fresh.check(tmp_path/'a.ipynb', write=True)
    assert name=='a' and [o[:2] for o in first]==[('stale', o) for o in cells[:3]]
    assert [o[:2] for o in fresh.check(tmp_path/'a.ipynb')[2]]==[('varies', cells[1])]
    stored = lambda: nbformat.read(tmp_path/'a.ipynb', 4).cells[1].outputs[0].data['text/plain']
    at_first = stored()
    fresh.check(tmp_path/'a.ipynb', write=True)
    assert stored()==at_first, 'another time is no other output'
    monkeypatch.setattr(fresh, 'committed', lambda p: {c.id: 'before the edit' if c.source==cells[0] else c.source for c in nbformat.read(p, 4).cells})
    fresh.check(tmp_path/'a.ipynb', write=True)
    assert stored()!=at_first, 'what stands below an edited cell keeps no old output'
    nb = nbformat.read(tmp_path/'a.ipynb', 4)
    was,nb.cells[0].outputs[0].data['text/plain'] = nb.cells[0].outputs[0].data['text/plain'],'0.5'
    nbformat.write(nb, tmp_path/'a.ipynb')
    assert ('stale', cells[0], '0.5', was) in fresh.check(tmp_path/'a.ipynb', write=True)[2], 'a number that comes out twice is no time'
    assert nbformat.read(tmp_path/'a.ipynb', 4).cells[0].outputs[0].data['text/plain']==was
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell('1/0')]), tmp_path/'b.ipynb')
    assert 'ZeroDivisionError' in fresh.check(tmp_path/'b.ipynb')[2][0][3]

# ---- the filter

def filtered(raw, cwd):
    import subprocess
    env = {k:v for k,v in os.environ.items() if k!='IN_TEST'} | dict(OMP_NUM_THREADS='1')
    return subprocess.run([sys.executable, root/'scripts/nbdev_quarto_filter.py'], input=raw, capture_output=True, cwd=cwd, env=env)

def _filtered(name):
    "A notebook through the filter, in a process that has nothing else to do"
    os.chdir(root/'nbs')
    from nbdev_quarto_filter import document
    return document((root/'nbs'/name).read_bytes(), root/'nbs'/name)

@pytest.fixture(scope='module')
def documented():
    "Each notebook as Quarto would get it; a process for each, made from one that has the large packages in memory"
    from multiprocessing import get_context
    ctx = get_context('forkserver')
    ctx.set_forkserver_preload(['test_site', 'torch', 'pandas', 'matplotlib.pyplot', 'nbdev.processors', 'trionyx.run', 'trionyx.report'])
    with ProcessPoolExecutor(2, ctx, max_tasks_per_child=1) as ex: return dict(zip(names, ex.map(_filtered, names)))

@every
def test_filter(documented, name):
    d = json.loads(documented[name])
    fm = [yaml.safe_load(c['source'].strip().strip('-')) for c in map(flat, d['cells']) if c['cell_type']=='raw']
    assert len(fm)==1 and {'title', 'description', 'output-file'} <= set(fm[0]), 'one block of front matter with title, description and page'
    src = '\n'.join(flat(c)['source'] for c in d['cells'])
    assert not (o:=re.findall(r'\[[^\]\n]*\[`[^\n]*?\]\([^)]*\)[^\]\n]*\]\(', src)), f'{o}: a name in backticks is linked by itself, so a link around it shows as it is written'
    assert '#| export\n' not in src and '#| hide\n' not in src and 'default_exp' not in src
    if name in chapters:
        shown = sum('show_doc(' in flat(c)['source'] for c in d['cells'])
        assert shown and all(c.get('outputs') for c in d['cells'] if 'show_doc(' in flat(c)['source']), 'exported names are documented'
        md = '\n'.join(''.join(o.get('data', {}).get('text/markdown', '')) for c in d['cells'] for o in c.get('outputs', []))
        assert set(re.findall(r'\[source\]\(\S+?/trionyx/(\w+)\.py#', md))=={Path(name).stem.split('_', 1)[1]}, 'a source link goes to the module of its page'
        assert not [o for o in re.findall(r'(?s)```python(.*?)\n```', md) if '](' in o], 'a signature is code: links in it would be shown as they are written'

@every
def test_documented_in_order(documented, name):
    "Before the source of what is exported stands what documents it, in the source's own order: a class before its methods"
    docs = []
    for c in map(flat, json.loads(documented[name])['cells']):
        docs += re.findall(r'(?m)^show_doc\((?:\w+\.)*(\w+)', c['source'])
        if 'Exported source' not in c['source']: continue
        names = [o.name for o in ast.parse(c['source']).body if hasattr(o, 'name') and (o.name[0]!='_' or o.name[:2]=='__')]
        assert docs[len(docs)-len(names):]==names, f'found {docs[-len(names):]} before\n{c["source"]}'

def flat(c): return dict(c, source=c['source'] if isinstance(c['source'], str) else ''.join(c['source']))

def test_filter_gives_back_what_it_does_not_know(tmp_path):
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell('# Not here'), nbformat.v4.new_code_cell('#| export\nx = 1')])
    for raw in (nbformat.writes(nb).encode(), b'not JSON \xff', b''):
        r = filtered(raw, root/'nbs')
        assert (r.returncode, r.stdout)==(0, raw), r.stderr.decode()[-2000:]

def test_filter_knows_a_notebook_by_its_content(tmp_path):
    "Quarto may write the JSON anew, with other spaces"
    raw = json.dumps(json.loads((root/'nbs/index.ipynb').read_bytes())).encode()
    r = filtered(raw, root/'nbs')
    assert r.returncode==0 and r.stdout!=raw and b'index.html' in r.stdout

# ---- pages as a browser shows them: nbconvert in place of Quarto, with the site's own rules

FRAME = """<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>%s</title><style>
body {margin: 0; font: 17px/1.55 "Source Sans 3", "DejaVu Sans", sans-serif; color: #343a40} main {max-width: 800px; margin: auto; padding: 0 .75rem; box-sizing: border-box}
pre {font: 13.5px/1.4 "DejaVu Sans Mono", monospace; padding: .5rem; margin: .5rem 0} .input pre, .highlight pre {background: #f3f4f2} code {font-size: .875em}
table {border-collapse: collapse; font-size: .875em} td, th {padding: .3rem .5rem; border-bottom: 1px solid #ddd; text-align: left} h1 {margin-top: 1rem} blockquote {border-left: 3px solid #ccc; margin: 0; padding-left: 1rem} %s
</style></head><body><main>%s</main></body></html>"""

def as_quarto(nb):
    "What Quarto makes of cell options: code that is not echoed gives way to its result, and options are not shown"
    for i,c in enumerate(nb.cells):
        md = ''.join(o.get('data', {}).get('text/markdown', '') for o in c.get('outputs', []))
        if c.cell_type=='code' and re.search(r'(?m)^#\| ?echo: false', c.source) and md: nb.cells[i] = nbformat.v4.new_markdown_cell(re.sub(r'(?m)^(\[source\]\(.*?\))\{.*?\}', r'\1', md))
        elif c.cell_type=='code': c.source = re.sub(r'(?m)^#\|.*\n?', '', c.source)
    fm = next((yaml.safe_load(c.source.strip().strip('-')) for c in nb.cells if c.cell_type=='raw'), {})
    nb.cells.insert(0, nbformat.v4.new_markdown_cell(f"# {fm.get('title', '')}\n\n{fm.get('description', '')}"))
    return nb

def as_html(name, nb, exporter):
    "A notebook as one page; cells and outputs carry the classes that Quarto gives them"
    body,_ = exporter.from_notebook_node(as_quarto(nb))
    body = body.replace('class="output_area"', 'class="output_area cell-output cell-output-display"')
    return FRAME % (name, (root/'nbs/site.scss').read_text(encoding='utf-8'), body)

@pytest.fixture(scope='module')
def html(documented):
    "Each page of the book, as the filter leaves it"
    from nbconvert import HTMLExporter
    exporter = HTMLExporter(template_name='basic', exclude_input_prompt=True, exclude_output_prompt=True, exclude_raw=True)
    return {n: as_html(n, nbformat.reads(o, 4), exporter) for n,o in documented.items()}

@every
def test_page_is_light(html, name): assert len(html[name].encode())<1_500_000, f'{len(html[name].encode())/1e6:.1f} MB'

WIDER = """() => { const w = document.documentElement.clientWidth; return [...document.querySelectorAll('main *')].filter(o => { if (o.getBoundingClientRect().right <= w+1) return false;
    for (let p = o.parentElement; p; p = p.parentElement) if (['auto', 'scroll', 'hidden'].includes(getComputedStyle(p).overflowX)) return false; return true }).slice(0, 3).map(o => o.outerHTML.slice(0, 160)) }"""

@every
def test_page_fits_a_phone_and_a_screen(html, browser, name):
    "Nothing sticks out at 400 or 1,200 pixels; TRIONYX_SHOTS names a folder for pictures to look at"
    for w in (400, 1200):
        tab = browser.new_page(viewport=dict(width=w, height=800))
        tab.set_content(html[name], wait_until='load')
        assert not (out:=tab.evaluate(WIDER)), f'wider than {w} pixels: {out}'
        tall = tab.evaluate("() => [...document.querySelectorAll('.cell-output')].map(o => o.getBoundingClientRect().height).filter(h => h > 1100)")
        assert not tall, f'an output of {max(tall):.0f} pixels at width {w}'
        assert not tab.evaluate("() => [...document.images].filter(o => !o.naturalWidth).map(o => o.src.slice(0, 80))") or name in ('index.ipynb', '02_mix.ipynb')
        if d:=os.environ.get('TRIONYX_SHOTS'): Path(d).mkdir(exist_ok=True); tab.screenshot(path=f'{d}/{Path(name).stem}-{w}.png', full_page=True)
        tab.close()

def test_an_svg_is_compared():
    import fresh
    cell = lambda w: nbformat.v4.new_code_cell('x', outputs=[nbformat.v4.new_output('display_data', {'image/svg+xml':f'<svg width="{w}"/>', 'text/plain':'<IPython.core.display.SVG object>'})])
    nb = lambda w: nbformat.v4.new_notebook(cells=[cell(w)])
    assert fresh.differing(nb(1), nb(1))==[] and fresh.differing(nb(1), nb(2))==[0]

# ---- README.md

def test_readme_is_the_index():
    from readme import readme
    assert (root/'README.md').read_text(encoding='utf-8')==readme(), 'run python scripts/readme.py'

def test_readme_links_resolve():
    tos = links((root/'README.md').read_text(encoding='utf-8'))
    assert len(tos)>10 and not [o for o in tos if not re.match(r'https?://', o) and not (root/o.partition('#')[0]).is_file()]

def test_readme_names_every_notebook():
    table = [l for l in (root/'README.md').read_text(encoding='utf-8').splitlines() if l.startswith('| [')]
    tos = links('\n'.join(table))
    assert [o for o in tos if o.endswith('.ipynb')] == [f'nbs/{n}' for n in book]

def test_readme_rewrites_links(tmp_path):
    from readme import readme
    cell = nbformat.v4.new_markdown_cell('[a](x.ipynb#b) ![c](images/c.png) [d](../LICENSE) [e](https://f.g) [h](#i) <img src="images/c.png">')
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path/'x.ipynb')
    assert readme(tmp_path/'x.ipynb')=='[a](nbs/x.ipynb#b) ![c](nbs/images/c.png) [d](LICENSE) [e](https://f.g) [h](#i) <img src="nbs/images/c.png">\n'

def test_scripts_of_the_readme_exist():
    txt = (root/'README.md').read_text(encoding='utf-8')
    named = set(re.findall(r'`(\w+\.py)`', txt)) | set(re.findall(r'scripts/(\w+\.(?:sh|py))', txt))
    assert {'demo.sh', 'test.sh', 'plan.py', 'pretrain.py'} <= named
    assert not (missing:=[o for o in named if not (root/'scripts'/o).is_file()]), missing
