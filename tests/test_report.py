"Reports of runs that were really trained, one of them killed: in a browser, on paper, as Markdown, as a card, and from bad input"
import json, os, re, shutil, signal, subprocess, sys, time
from collections import Counter
from pathlib import Path
import pytest
from house import root
from huggingface_hub import ModelCard

TRAIN = '--depth 2 --seq 256 --batch 1024 --steps 16 --eval-every 4 --eval-tokens 4000 --save-secs 0 --compile no --data d'.split()

def start(home, script, *args):
    env = {**os.environ, 'TRIONYX_HOME':str(home), 'OMP_NUM_THREADS':'1', 'TQDM_DISABLE':'1'}
    return subprocess.Popen([sys.executable, str(root/f'scripts/{script}.py'), *map(str, args)], env=env, cwd=home, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

def run(home, *args, fails=False):
    "Run a script; its output, or its one line of error"
    p = start(home, *args)
    out,err = p.communicate(timeout=600)
    if not fails: assert p.returncode==0, out[-2000:]+err[-2000:]; return out
    assert p.returncode==1 and 'Traceback' not in err, err
    line = [o for o in err.strip().splitlines() if o.startswith(f'{args[0]}: ')][-1]
    assert 'expected' in line and 'found' in line, err
    return line

def train_and_kill(home, *args):
    "Kill a run as it stands between two checkpoints, then let it go on to its end"
    p,log = start(home, *args),home/'runs/elm/metrics.jsonl'
    end = time.time()+300
    def far(): return log.exists() and log.read_text().count('"loss"')>=9 and any((home/'runs/elm/ckpt').glob('step-*/manifest.json'))
    while time.time()<end and p.poll() is None and not far(): time.sleep(.02)
    p.send_signal(signal.SIGKILL)
    p.communicate()
    assert p.returncode==-9, 'it ended before it could be killed'
    run(home, *args)

@pytest.fixture(scope='module')
def home(tmp_path_factory):
    "Two base runs, one of them killed on its way, and a fine-tuning of each"
    h = tmp_path_factory.mktemp('report')
    run(h, 'foi', '--kind', 'docs', '--n', 300, '--out', h/'foi.jsonl')
    (h/'odd.jsonl').write_text(''.join(json.dumps(dict(id=f'o{i}', text=f'<b>odd</b> | *text* number {i*i} of `{i}` '*12, license='CC0-1.0 | <i>x</i>'))+'\n' for i in range(60)))
    run(h, 'prepare', '--name', 'd', '--data', f'foi={h}/foi.jsonl,odd={h}/odd.jsonl', '--exact-only', '--stage', 'docs', '--workers', 1, '--held-out', '0.1')
    run(h, 'tokenizer', '--name', 'd', '--vocab', 512)
    run(h, 'prepare', '--name', 'd', '--stage', 'tokens', '--workers', 1)
    run(h, 'pretrain', '--name', 'oak', *TRAIN)
    train_and_kill(h, 'pretrain', '--name', 'elm', '--seed', 1, *TRAIN)
    for k in ('oak', 'elm'): run(h, 'sft', k, '--foi', 40, '--batch', 1024, '--steps', 6, '--eval-every', 3, '--save-secs', 0, '--compile', 'no', '--long', 'truncate')
    run(h, 'bench', 'oak-sft', 'elm-sft', '--what', 'foi', '--letters', 2)
    return h

@pytest.fixture(scope='module')
def pages(home):
    "The report of one run, and of two"
    run(home, 'report', 'oak-sft', '--max-new', 40)
    run(home, 'report', 'oak-sft', 'elm-sft', '--max-new', 40, '--price', 2)
    return dict(one=home/'runs/oak-sft/report', two=home/'runs/oak-sft/report-elm-sft')

which = pytest.mark.parametrize('which', ['one', 'two'])

@pytest.fixture
def tab(browser, pages, which, request):
    "A page, with what it asked for and what it complained of"
    kw = getattr(request, 'param', {})
    c = browser.new_context(viewport=dict(width=kw.get('width', 1280), height=800), color_scheme=kw.get('scheme', 'light'), offline=True)
    t = c.new_page()
    t.said,t.asked = [],[]
    t.on('console', lambda m: t.said.append(m.text))
    t.on('pageerror', lambda e: t.said.append(str(e)))
    t.on('request', lambda r: t.asked.append(r.url))
    t.goto((pages[which]/'index.html').as_uri())
    t.wait_for_function('[...document.images].every(o => o.complete)')
    yield t
    c.close()

looks = pytest.mark.parametrize('tab', [dict(width=w, scheme=s) for w in (400, 1280) for s in ('light', 'dark')], ids=lambda o: f"{o['width']} {o['scheme']}", indirect=True)

@which
@looks
def test_quiet_and_within_the_window(tab, which):
    assert tab.said==[] and [o for o in tab.asked if not o.startswith('data:')]==[tab.url]
    w = tab.evaluate('document.documentElement.clientWidth')
    assert tab.evaluate('document.documentElement.scrollWidth')==w
    out = tab.evaluate("""w => [...document.querySelectorAll('body *')].filter(o => o.getBoundingClientRect().right>w+1 && !o.closest('.box') && !o.closest('.skip')).map(o => o.outerHTML.slice(0, 90))""", w)
    assert not out
    if d := os.environ.get('TRIONYX_SHOTS'): Path(d).mkdir(exist_ok=True); tab.screenshot(path=f'{d}/report-{which}-{w}-{"dark" if tab.evaluate("matchMedia(`(prefers-color-scheme:dark)`).matches") else "light"}.png', full_page=True)

CONTRAST = """() => { const rgb = s => s.match(/[\\d.]+/g).map(Number), lum = c => { const [r,g,b] = c.slice(0,3).map(v => (v/=255)<=.03928 ? v/12.92 : ((v+.055)/1.055)**2.4); return .2126*r+.7152*g+.0722*b },
    ground = o => { for (; o; o = o.parentElement) { const c = rgb(getComputedStyle(o).backgroundColor); if (c.length<4 || c[3]>0) return c } return [255,255,255] };
    return [...document.querySelectorAll('h1,h2,h3,p,li,dt,dd,a,td,th,figcaption,cite,summary,code,footer,.said')].map(o => { const [a,b] = [lum(rgb(getComputedStyle(o).color)), lum(ground(o))].sort((x,y) => y-x); return [(a+.05)/(b+.05), o.outerHTML.slice(0, 80)] }).filter(o => o[0]<4.5) }"""

@which
@looks
def test_contrast(tab, which): assert not tab.evaluate(CONTRAST)

@which
@pytest.mark.parametrize('tab', [dict(width=400)], ids=['400'], indirect=True)
def test_accessible(tab, which):
    "Names, heads and levels, as the browser's accessibility tree has them"
    tree = tab.locator('body').aria_snapshot()
    assert tree.count('heading') > 8 and re.search(r'heading ".*oak-sft.*" \[level=1\]', tree) and 'navigation "Contents"' in tree and 'main' in tree and 'contentinfo' in tree
    assert 'columnheader "task"' in tree and 'rowheader "val bpb"' in tree
    levels = tab.evaluate("[...document.querySelectorAll('h1,h2,h3')].map(o => +o.tagName[1])")
    assert levels[0]==1 and levels.count(1)==1 and all(b<=a+1 for a,b in zip(levels, levels[1:]))
    assert tab.evaluate("[...document.images].every(o => o.alt.length>20 && o.naturalWidth>0)")
    assert tab.evaluate("[...document.querySelectorAll('.box')].every(o => o.tabIndex===0 && o.getAttribute('aria-label'))")
    ids = tab.evaluate("[...document.querySelectorAll('[id]')].map(o => o.id)")
    assert len(ids)==len(set(ids)) and not set(tab.evaluate("[...document.querySelectorAll('a[href^=\"#\"]')].map(o => o.hash.slice(1))"))-set(ids)

@which
def test_keyboard(tab, which):
    "Tab reaches the skip link, the contents, every table; a list opens and closes; the focus is seen"
    tab.keyboard.press('Tab')
    assert tab.evaluate('document.activeElement.className')=='skip' and tab.locator('.skip').bounding_box()['x']>=0
    tab.keyboard.press('Enter')
    assert tab.evaluate('location.hash')=='#main'
    seen = []
    for _ in range(400):
        tab.keyboard.press('Tab')
        tag,outline = tab.evaluate("[document.activeElement.tagName, getComputedStyle(document.activeElement).outlineStyle]")
        if tag=='BODY': break
        assert outline!='none', tag
        seen.append(tag)
        if tag=='SUMMARY' and seen.count(tag)==1:
            for want in (True, False): tab.keyboard.press('Enter'); assert tab.evaluate('document.activeElement.parentElement.open')==want
    assert seen.count('SUMMARY')==tab.locator('summary').count() and seen.count('DIV')>=4

@which
def test_on_paper(tab, which, tmp_path):
    "A4 with page numbers; what was folded is there, what navigates is not; a reader of the dark prints black on white"
    tab.emulate_media(color_scheme='dark')
    tab.pdf(path=f'{tmp_path}/p.pdf', prefer_css_page_size=True)
    if not shutil.which('pdftotext'): pytest.skip('no poppler-utils here')
    text = subprocess.run(['pdftotext', '-layout', 'p.pdf', '-'], cwd=tmp_path, capture_output=True, text=True).stdout
    info = subprocess.run(['pdfinfo', 'p.pdf'], cwd=tmp_path, capture_output=True, text=True).stdout
    n = int(re.search(r'Pages: +(\d+)', info)[1])
    assert 'A4' in info and 3<=n<=40 and all(re.search(rf'{i} / {n}\b', text) for i in range(1, n+1))
    assert 'model.depth' in text and 'rates.decay' in text and 'To the text' not in text and 'How to run it again' in text
    subprocess.run(['pdftoppm', '-r', '20', '-gray', 'p.pdf', 'p'], cwd=tmp_path, check=True)
    shades = [Path(o).read_bytes()[-2000:] for o in tmp_path.glob('*.pgm')]
    assert all(sum(b>200 for b in o)>0.6*len(o) for o in shades)
    if d := os.environ.get('TRIONYX_SHOTS'): shutil.copy(tmp_path/'p.pdf', f'{d}/report-{which}.pdf')

@which
def test_markdown_says_the_same(tab, pages, which):
    tab.evaluate("document.querySelectorAll('details').forEach(o => o.open = true)")
    shown = tab.evaluate("document.querySelector('header').innerText+' '+document.querySelector('main').innerText+' '+document.querySelector('body>footer').innerText")
    md = (pages[which]/'report.md').read_text()
    text = re.sub(r'\\(.)', r'\1', re.sub(r'(?<!\\)!\[.*?\]\(.*?\)|\]\(https.*?\)|^[| :-]+$', ' ', md, flags=re.M))
    a,b = [Counter(re.findall(r'\w+', o)) for o in (shown, text)]
    assert a==b, (a-b, b-a)
    assert sorted(re.findall(r'\]\(([\w.-]+\.svg)\)', md))==sorted(o.name for o in pages[which].glob('*.svg'))

def test_content(home, pages):
    one,two = [(pages[k]/'report.md').read_text() for k in ('one', 'two')]
    assert max(len((o/'index.html').read_bytes()) for o in pages.values())<3e6
    assert '<b>odd' not in (pages['one']/'index.html').read_text() and 'CC0-1.0 \\| \\<i\\>x' in one
    heads = re.findall(r'(?m)^## (.*)', two)
    assert heads==['A letter', 'Results', 'Learning', 'What it was trained on', 'Time, cost and energy', 'What it writes', 'How to run it again']
    again = json.loads((home/'runs/elm/starts.jsonl').read_text().splitlines()[1])
    assert again['redone']>0 and f"stopped; {again['redone']} steps were done again" in two.replace('\\', '')
    assert len(re.findall(r'(?m)^### ', two))==9 and two.count('**elm-sft**')==9 and two.count('**oak-sft**')==9
    asked = re.search(r'\$([\d.]+)', two.replace('\\', ''))
    assert asked, 'a price gives a cost'
    assert 'python scripts/bench.py elm --what bpb,core --fetch' in two and f"python {root}/scripts/sft.py elm" in two and 'report.py oak-sft elm-sft' in two
    assert '| seed | 0 | 1 |' in two

def test_report_of_moved_and_bare_runs(home, tmp_path):
    "A run elsewhere, without its base, its checkpoint and its data, still has a report that says what is missing"
    shutil.copytree(home/'runs/elm-sft', tmp_path/'elm-sft', ignore=shutil.ignore_patterns('ckpt', 'report*'))
    out = run(home, 'report', f'{tmp_path}/elm-sft')
    md = (tmp_path/'elm-sft/report/report.md').read_text()
    assert 'reported without its base run' in out and md.count('No answer: ')==9 and 'not here' in md

@pytest.mark.parametrize('how,want', [('unknown', 'found only'), ('empty', 'Train the run first'), ('torn', 'Delete the damaged line'), ('list', 'in line 2'), ('config', 'expected JSON'), ('decided', 'expected recipe'), ('bench', 'bench/foi.json')])
def test_bad_input(home, tmp_path, how, want):
    d = tmp_path/'elm-sft'
    shutil.copytree(home/'runs/elm-sft', d, ignore=shutil.ignore_patterns('ckpt', 'report*'))
    if how=='empty': (d/'metrics.jsonl').unlink()
    if how=='torn': (d/'metrics.jsonl').write_text('{"step":1,"lo\n{}\n')
    if how=='list': (d/'metrics.jsonl').write_text('{"step":1}\n[1]\n')
    if how=='config': (d/'config.json').write_text('{')
    if how=='decided': (d/'config.json').write_text(json.dumps(dict(format=1, decided={}, noted=[{}])))
    if how=='bench': (d/'bench/foi.json').write_text('{"format":1}')
    assert want in run(home, 'report', f'{tmp_path}/elf' if how=='unknown' else d, '--no-samples', fails=True)
    assert not (d/'report').exists()

def test_bad_pairs(home):
    assert 'found 3' in run(home, 'report', 'oak', 'elm', 'oak-sft', fails=True)
    assert 'found oak twice' in run(home, 'report', 'oak', 'oak', fails=True)

def test_card(home):
    "As the hub's classes read it; `validate` asks the hub, and gets as far as the network"
    run(home, 'export', 'elm-sft', '--license', 'cc-by-4.0', '--grid', 100)
    c = ModelCard.load(home/'runs/elm-sft/export/README.md')
    d = c.data.to_dict()
    assert (d['license'], d['library_name'], d['pipeline_tag'], c.data.model_name)==('cc-by-4.0', 'transformers', 'text-generation', 'elm-sft')
    assert [(o.dataset_type, o.metric_type) for o in c.data.eval_results]==[('trionyx-foi', 'score')] and 0<=c.data.eval_results[0].metric_value<=1
    assert ModelCard(str(c)).data.to_dict()==d and 'co2_eq_emissions' not in d
    assert re.findall(r'(?m)^## (.*)', c.text)==['Intended use', 'Limits', 'How to start it', 'Results', 'Training data', 'How it was made', 'Environment', 'Citation']
    with pytest.raises(Exception) as e: c.validate()
    assert not isinstance(e.value, (ValueError, TypeError)) or 'offline' in str(e.value).lower() or 'HTTP' in type(e.value).__name__
