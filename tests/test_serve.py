"The server on a real socket: the real openai client, clients that vanish, a thousand random requests, Ctrl-C, a browser"
import asyncio, json, os, random, re, signal, socket, subprocess, sys, threading, time
from contextlib import contextmanager, suppress
from pathlib import Path
import httpx, pytest, torch
from house import extra, root
from trionyx.checkpoints import save_checkpoint
from trionyx.core import StepLog
from trionyx.generate import chat_reply, generate
from trionyx.model import GPT, GPTConfig
from trionyx.optim import make_optimizer
from trionyx.run import load_run, open_run
from trionyx.server import Limits, Service, bound
from trionyx.tokenizer import train_tokenizer

def make_run(folder, recipe, seed):
    "A run with random weights everywhere, of a context that leaves time to vanish"
    tok = train_tokenizer(['Dear Sir or Madam, I would like to request the following recorded information: biscuits. <b>Yours</b> '*9], 300)
    cfg = GPTConfig(depth=2, vocab=tok.n_vocab, seq=512, head_dim=16, aspect=16)
    open_run(folder, dict(recipe=recipe, base=['gone', 1, ''], data='toy', tokenizer=tok.hash, model=vars(cfg), batch=64, steps=1, rows={}), dict(commit='abc'))
    StepLog(folder/'metrics.jsonl').append(dict(step=1, loss=3., bpb=3., grad_norm=1., lr=1., secs=1., tokens_per_s=64))
    model,g = GPT(cfg).init_weights(0),torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in model.parameters(): p.add_(0.3*torch.randn(p.shape, generator=g))
    save_checkpoint(folder, 1, model, make_optimizer(model))
    tok.save(folder/'tokenizer')
    return load_run(str(folder), device='cpu', dtype='float32')

@pytest.fixture(scope='module')
def runs(tmp_path_factory):
    d = tmp_path_factory.mktemp('home')/'runs'
    return [make_run(d/'letters', 'sft', 1), make_run(d/'other', 'sft', 2), make_run(d/'base', 'pretrain', 3)]

@contextmanager
def serving(service, routes=()):
    "The address of a service, on a socket and in a thread of its own"
    sock,server = bound('127.0.0.1', 0),service.server(service.app(routes))
    t = threading.Thread(target=server.run, kwargs=dict(sockets=[sock]))
    t.start()
    try:
        with service: yield f'http://127.0.0.1:{sock.getsockname()[1]}'
    finally:
        server.handle_exit(signal.SIGTERM, None)
        t.join(20)
        assert not t.is_alive(), 'the server did not end'

def until(what, secs=10):
    end = time.monotonic()+secs
    while not what() and time.monotonic()<end: time.sleep(0.01)
    return what()

@pytest.fixture(scope='module')
def server(runs):
    s = Service(runs, rows=8, waiting=32, limits=Limits(rate=10**6, new=400))
    with serving(s) as url: yield s,url

ask = [dict(role='user', content='Write an FOI request about biscuits')]
def greedy(run, n=20): return chat_reply(run.model, run.tok, ask, n, temperature=0)
def completion(url, **kw): return httpx.post(url+'/v1/chat/completions', json=dict(dict(messages=ask, max_tokens=20, temperature=0), **kw), timeout=60)

@pytest.fixture
def endless(monkeypatch):
    "Answers that go on to their limit, at most 200 tokens a second: no machine is too fast for the tests"
    from trionyx.engine import Engine
    step = Engine.step
    def slow(self): time.sleep(.005); return step(self)
    monkeypatch.setattr('trionyx.api.stop_tokens', lambda tok: ())
    monkeypatch.setattr(Engine, 'step', slow)

# ---- the real client

@pytest.fixture
def client(server): return extra('openai').OpenAI(base_url=server[1]+'/v1', api_key='none', max_retries=0)

def test_chat(client, runs):
    for run in runs[:2]:
        r = client.chat.completions.create(model=run.folder.name, messages=ask, max_tokens=20, temperature=0)
        assert r.choices[0].message.content==greedy(run) and r.choices[0].message.role=='assistant' and r.model==run.folder.name
        assert r.choices[0].finish_reason in ('stop', 'length') and r.usage.total_tokens==r.usage.prompt_tokens+r.usage.completion_tokens

def test_chat_stream(client, runs):
    parts = list(client.chat.completions.create(model='letters', messages=ask, max_completion_tokens=20, temperature=0, stream=True, stream_options=dict(include_usage=True)))
    assert ''.join(o.choices[0].delta.content or '' for o in parts if o.choices)==greedy(runs[0])
    assert parts[0].choices[0].delta.role=='assistant' and parts[-1].usage.completion_tokens<=20 and not parts[-1].choices and len(parts)>5
    assert len({o.id for o in parts})==1 and [o.choices[0].finish_reason for o in parts[:-1]][-1] in ('stop', 'length')

def test_completions(client, runs):
    r = client.completions.create(model='base', prompt=['Dear', 'Yours'], max_tokens=9, temperature=0)
    want = generate(runs[2].model, runs[2].tok, [[runs[2].tok.bos, *runs[2].tok.encode(o)] for o in ('Dear', 'Yours')], 9, temperature=0)
    assert [o.text for o in r.choices]==[runs[2].tok.decode(o) for o in want]
    s = client.completions.create(model='base', prompt='Dear', max_tokens=9, temperature=0, stream=True)
    assert ''.join(o.choices[0].text for o in s)==runs[2].tok.decode(want[0])

def test_seed_stop_and_extras(client, runs):
    def say(**kw): return client.chat.completions.create(model='letters', messages=ask, max_tokens=30, **kw).choices[0]
    a,b,c = say(seed=5).message.content,say(seed=5).message.content,say(seed=6).message.content
    assert a==b!=c
    s = a[len(a)//2:len(a)//2+3]
    cut = say(seed=5, stop=[s])
    assert cut.message.content==a[:a.index(s)] and cut.finish_reason=='stop'
    assert say(temperature=2, extra_body=dict(top_k=1)).message.content==greedy(runs[0], 30)

def test_models_and_errors(client):
    openai = extra('openai')
    assert [o.id for o in client.models.list()]==['letters', 'other', 'base']
    for error,kw in ((openai.NotFoundError, dict(model='gpt-5')), (openai.BadRequestError, dict(temperature=3)), (openai.BadRequestError, dict(n=2)), (openai.BadRequestError, dict(max_tokens=401)),
                     (openai.BadRequestError, dict(messages=[])), (openai.BadRequestError, dict(extra_body=dict(temprature=1))), (openai.BadRequestError, dict(messages=[dict(role='user', content='biscuits '*999)])),
                     (openai.BadRequestError, dict(model='base'))):
        with pytest.raises(error) as e: client.chat.completions.create(**{**dict(model='letters', messages=ask), **kw})
        assert e.value.body['message'] and e.value.body['type']=='invalid_request_error'
    assert e.value.param=='model'

def test_async_clients_at_once(server, runs):
    c = extra('openai').AsyncOpenAI(base_url=server[1]+'/v1', api_key='none', max_retries=0)
    async def one(i):
        await asyncio.sleep(random.Random(i).random()/5)
        return (await c.chat.completions.create(model=runs[i%2].folder.name, messages=ask, max_tokens=20, temperature=0)).choices[0].message.content
    async def all(): return await asyncio.gather(*[one(i) for i in range(24)])
    assert asyncio.run(all())==[greedy(runs[i%2]) for i in range(24)]

# ---- who vanishes, who is refused

def test_a_client_that_vanishes(server, endless):
    s,url = server
    for stream in (True, False):
        gone = s.engines['letters'].stats['ended_gone']
        body = json.dumps(dict(model='letters', messages=ask, max_tokens=400, temperature=1, stream=stream)).encode()
        with socket.create_connection(url.removeprefix('http://').split(':')) as c:
            c.sendall(b'POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n' % len(body)+body)
            if stream: assert b'200 OK' in c.recv(1000)
            assert until(lambda: s.engines['letters'].live)
        assert until(lambda: s.engines['letters'].stats['ended_gone']==gone+1) and until(lambda: not s.engines['letters'].live)
    assert completion(url).status_code==200

def test_queue_full_and_rate(runs, monkeypatch):
    from trionyx.engine import Engine
    from trionyx.server import Rate
    step,gate,wait = Engine.step,threading.Event(),Rate.wait
    monkeypatch.setattr(Engine, 'step', lambda self: gate.wait(60) and step(self))
    monkeypatch.setattr(Rate, 'wait', lambda self, who, now: wait(self, who, 0.)) # its clock stands still
    s = Service(runs[:1], rows=1, waiting=1, limits=Limits(rate=6, new=400))
    with serving(s) as url:
        rs,ts,e = [],[],s.engines['letters']
        for held in (lambda: e.live, lambda: e.waiting):
            ts.append(threading.Thread(target=lambda: rs.append(completion(url, max_tokens=2)))); ts[-1].start()
            assert until(held)
        full = completion(url)
        assert full.status_code==429 and full.headers['retry-after'] and full.json()['error']['code']=='queue_full'
        gate.set()
        for t in ts: t.join()
        rs += [completion(url, max_tokens=1) for _ in range(5)]
        assert [o.status_code for o in rs]==[200]*5+[429]*2 and rs[-1].json()['error']['code']=='rate_limit_exceeded'
        assert int(rs[-1].headers['retry-after'])==11 and httpx.get(url+'/health').status_code==200

def test_bodies(server):
    _,url = server
    def post(content, **hs): return httpx.post(url+'/v1/chat/completions', content=content, headers={'content-type':'application/json', **hs})
    for raw,status in ((b'{', 400), (b'\xff\xfe', 400), (b'{"messages": "\xff"}', 400), (b'[]', 400), (b'', 400), (b'['*200_000, 400), (b'{"a": "'+b'x'*2_000_000+b'"}', 413)):
        r = post(raw)
        assert r.status_code==status and r.json()['error']['message'] and r.headers['content-type']=='application/json'
    assert post(b'{}', **{'content-type':'text/plain'}).status_code==415
    def chunks():
        for _ in range(300): yield b' '*10_000
    assert post(chunks()).status_code==413
    assert [httpx.request(m, url+p).status_code for m,p in (('GET', '/nowhere'), ('GET', '/v1/completions'), ('DELETE', '/v1/models'))]==[404, 405, 405]
    assert completion(url).status_code==200

def test_token(runs):
    with serving(Service(runs[:1], token='secret')) as url:
        assert [httpx.get(url+p).status_code for p in ('/health', '/v1/models', '/metrics')]==[200, 401, 401]
        assert httpx.get(url+'/v1/models', headers=dict(authorization='Bearer secret')).status_code==200
        openai = extra('openai')
        with pytest.raises(openai.AuthenticationError): openai.OpenAI(base_url=url+'/v1', api_key='wrong', max_retries=0).models.list()

ODD_REQUESTS = {
    b'GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\nHost: localhost':404, b'GET //v1/models HTTP/1.1\r\nHost: localhost':404, b'GET /chat.js%00 HTTP/1.1\r\nHost: localhost':404,
    b'GET /\xff HTTP/1.1\r\nHost: localhost':400, b'CONNECT a:80 HTTP/1.1\r\nHost: localhost':400, b'OPTIONS * HTTP/1.1\r\nHost: localhost':404, b'OPTIONS /v1/models HTTP/1.1\r\nHost: localhost':405,
    b'HEAD /v1/models HTTP/1.1\r\nHost: localhost':200, b'PRI * HTTP/2.0\r\n\r\nSM':400, b'\x16\x03\x01':400, b'GET /health HTTP/1.0':403, b'GET /health HTTP/1.1\r\nHost: LOCALHOST':200,
    b'GET /v1/models HTTP/1.1\r\nHost: evil.org':403, b'GET /v1/models HTTP/1.1\r\nHost: localhost.evil.org':403, b'GET / HTTP/1.1\r\nHost: [evil':400,
    b'POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nOrigin: null':403, b'POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.org':403,
    b'POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5':400, b'POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nContent-Length: 3':400}

def test_odd_requests(server):
    for raw,want in ODD_REQUESTS.items():
        with socket.create_connection(server[1].removeprefix('http://').split(':'), 10) as c:
            c.sendall(raw+b'\r\n\r\n')
            assert (int(c.recv(99).split()[1]), raw)==(want, raw)

def test_one_strange_request_harms_no_other(server, runs, endless):
    "Ten thousand exchanges and a temperature that divides by almost nothing, beside a long answer"
    got,want = [],generate(runs[0].model, runs[0].tok, [runs[0].tok.encode('Dear')], 200, temperature=0, stop=())[0]
    t = threading.Thread(target=lambda: got.append(httpx.post(server[1]+'/v1/completions', json=dict(prompt=runs[0].tok.encode('Dear'), max_tokens=200, temperature=0), timeout=60).json()))
    t.start()
    long = [*[dict(role='user', content='x'), dict(role='assistant', content='y')]*10_000, *ask]
    for kw in (dict(messages=long), *(dict(temperature=1e-300, top_k=k) for k in (None, 5))): assert completion(server[1], **{**dict(temperature=1, max_tokens=2), **kw}).status_code==200
    t.join()
    assert got[0]['choices'][0]['text']==runs[0].tok.decode(want)

def test_faults_are_logged_without_what_was_asked(server, monkeypatch, capfd):
    def fault(*_): raise ValueError('biscuits')
    for what,status in (('trionyx.engine.Engine.choose', 500), ('trionyx.server.Talk.whole', 500)):
        with monkeypatch.context() as m: m.setattr(what, fault); assert completion(server[1]).status_code==status
    out = []
    assert until(lambda: out.extend(capfd.readouterr()) or ''.join(out).count('ValueError in fault, test_serve.py')==2)
    assert 'biscuits' not in ''.join(out) and 'Traceback' not in ''.join(out)

# ---- a thousand random requests

ODD = [None, True, False, 0, 1, -1, 2**70, 1.5, 1e308, 1e-300, '', 'x', 'é🐢\0', 'letters', [], [1], ['x'], [[1]], [[]], {}, dict(a=1), ask, [dict(role='user')], [dict(role='user', content=['x'])]]

def odd_request(rng):
    "A request that is mostly right, with a few fields replaced, or broken bytes"
    chat = rng.random()<0.6
    o = dict(messages=ask) if chat else dict(prompt='Dear')
    o |= dict(model=rng.choice(['letters', 'base']), max_tokens=rng.randint(1, 6), temperature=rng.choice([0, 1]), stream=rng.random()<0.3)
    names = [*o, 'stop', 'seed', 'top_p', 'top_k', 'n', 'stream_options', 'logprobs', 'max_completion_tokens', 'user', 'tools', 'nonsense']
    for _ in range(rng.choice([0, 0, 0, 1, 1, 2, 4])): o[rng.choice(names)] = rng.choice(ODD)
    raw = bytearray(json.dumps(o).encode())
    if rng.random()<0.3:
        for _ in range(rng.randint(1, 8)): raw[rng.randrange(len(raw))] = rng.randrange(256)
    path = rng.choice(['/v1/chat/completions' if chat else '/v1/completions']*20+['/v1/models', '/', '/../x', '/v1/%ff'])
    return rng.choice(['POST']*20+['GET', 'PUT', 'HEAD']),path,bytes(raw[:rng.choice([len(raw)]*9+[len(raw)//2])])

def test_a_thousand_random_requests(server, runs):
    s,url = server
    rng,seen,threads = random.Random(0),{},threading.active_count()
    with httpx.Client(base_url=url, timeout=30, headers={'content-type':'application/json'}) as c:
        for _ in range(1000):
            m,p,raw = odd_request(rng)
            r = c.request(m, p, content=raw)
            seen[r.status_code] = seen.get(r.status_code, 0)+1
            assert r.status_code in (200, 400, 404, 405), (r.status_code, m, p, raw, r.text)
            if r.status_code!=200 and m!='HEAD': assert r.json()['error']['message']
    assert seen[200]>100 and seen[400]>100
    assert completion(url).json()['choices'][0]['message']['content']==greedy(runs[0])
    assert until(lambda: not any(e.live or e.waiting or e.cache for e in s.engines.values())) and threading.active_count()<=threads

def test_metrics_and_headers(server):
    r = httpx.get(server[1]+'/metrics')
    assert re.search(r'(?m)^trionyx_tokens_total\{run="letters"\} [1-9]', r.text) and 'trionyx_responses_total{status="200"}' in r.text
    assert all(re.fullmatch(r'# TYPE \S+ (counter|gauge)|[a-z_]+(\{\w+="[^"]*"\})? [0-9.e+-]+', o) for o in r.text.splitlines())
    assert "default-src 'none'" in r.headers['content-security-policy'] and r.headers['x-content-type-options']=='nosniff'

def test_ending_ends_answers(runs, endless):
    s = Service(runs[:1], limits=Limits(new=400))
    got = []
    with serving(s) as url:
        t = threading.Thread(target=lambda: got.append(completion(url, max_tokens=400, temperature=1, stream=True).text))
        t.start()
        assert until(lambda: s.engines['letters'].live)
        began = time.monotonic()
    t.join()
    assert time.monotonic()-began<5 and ('The server ends' in got[0] or '[DONE]' in got[0])

# ---- the command

def test_command_from_start_to_ctrl_c(runs, tmp_path):
    "The script on a free port: a stream is running when Ctrl-C comes; it ends at once, in order, without a traceback, and prompts were not printed"
    env = {**os.environ, 'TRIONYX_HOME': str(runs[0].folder.parent.parent)}
    p = subprocess.Popen([sys.executable, root/'scripts/serve.py', 'letters', '--port', '0', '--device', 'cpu'], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env, cwd=tmp_path)
    try:
        url = p.stdout.readline().split('/  ')[0]
        got = []
        def stream():
            with suppress(httpx.HTTPError), httpx.stream('POST', url+'/v1/chat/completions', json=dict(messages=ask, stream=True), timeout=20) as r: got.append(r.status_code); got.append(r.read()) # one that comes too late finds nobody
        assert 'id="message"' in httpx.get(url).text
        ts = [threading.Thread(target=stream) for _ in range(3)]
        for t in ts: t.start()
        assert until(lambda: len(got)>=1)
        p.send_signal(signal.SIGINT)
        began = time.monotonic()
        out,err = p.communicate(timeout=20)
        for t in ts: t.join()
    finally: p.kill()
    assert p.returncode==0 and out.endswith('ended\n') and err=='' and time.monotonic()-began<8
    assert 'biscuits' not in out and not list(tmp_path.iterdir())

# ---- the terminal

def test_terminal_in_a_real_terminal(runs, tmp_path):
    "Ctrl-C stops an answer or empties a line, but never ends; what was typed comes back with the arrow key in the next session"
    pexpect = pytest.importorskip('pexpect', reason='pexpect is not installed (it comes with IPython)')
    env = {**os.environ, 'TRIONYX_HOME': str(runs[0].folder.parent.parent), 'TERM': 'dumb'}
    def start():
        c = pexpect.spawn(sys.executable, [str(root/'scripts/chat.py'), 'letters', '--device', 'cpu', '--temperature', '1', '--max-new', '400'], env=env, cwd=str(tmp_path), timeout=30, encoding='utf-8')
        c.expect('/help for help.'); c.expect('\n> ')
        return c
    def interrupt():
        "Python's `input` sleeps through a signal that comes between its prompt and its wait, which a busy machine meets: a person presses twice"
        for t in (5, 30):
            c.sendintr()
            if c.expect(['\n> ', pexpect.TIMEOUT], timeout=t)==0: return
        assert False, c.before
    c = start()
    c.sendline('first biscuits'); c.expect('biscuits'); c.expect('\n> ')
    for i in range(8):                                        # at eight moments around the start of an answer
        c.sendline('more'); time.sleep(0.01*i); interrupt()
        c.send('never sent'); c.expect('never sent'); interrupt()
    for t in (5, 10, 30):                                     # typed right behind Ctrl-C, before its prompt is there, a line may be lost with the one given up
        c.sendline('/help')
        if c.expect(['bring back what was typed', pexpect.TIMEOUT], timeout=t)==0: break
    c.sendline('/save talk.txt'); c.expect('saved talk.txt')
    for o in ('/new', '/max 3', 'tea \\', 'and milk', '/save tea.txt'): c.sendline(o)
    c.expect('saved tea.txt')
    c.sendline('/quit'); c.expect(pexpect.EOF)
    talk,tea = [(tmp_path/f'{o}.txt').read_text(encoding='utf-8') for o in ('talk', 'tea')]
    assert 'User: first biscuits' in talk and 'never sent' not in talk and tea.startswith('User: tea \nand milk'), (talk, tea)
    c = start()
    for _ in range(20):
        c.send('\x1b[A')
        if c.expect(['first biscuits', pexpect.TIMEOUT], timeout=.5)==0: break
    else: assert False, c.before
    c.sendline(''); c.expect('\n> ')
    c.sendeof(); c.expect(pexpect.EOF); c.close()
    assert c.exitstatus==0

# ---- the page, in a real browser

@pytest.fixture(scope='module')
def site(runs):
    from trionyx.web import page
    s = Service(runs[:2], limits=Limits(rate=10**6, new=400))
    with serving(s, page(runs[:2], 400)) as url: yield s,url

@pytest.fixture
def tab(browser, site):
    c = browser.new_context(viewport=dict(width=1200, height=800), accept_downloads=True, permissions=['clipboard-read', 'clipboard-write'])
    t = c.new_page()
    t.outside,t.errors = [],[]
    t.on('request', lambda r: r.url.startswith((site[1], 'data:', 'blob:')) or t.outside.append(r.url))
    t.on('console', lambda m: m.type=='error' and t.errors.append(m.text))
    t.on('pageerror', lambda e: t.errors.append(str(e)))
    t.goto(site[1])
    yield t
    assert not t.outside and not t.errors
    c.close()

def put(tab, text, temperature='0', length='20'):
    if tab.locator('#settings').get_attribute('open') is None: tab.click('summary')
    tab.fill('#temperature', temperature); tab.fill('#length', length)
    tab.fill('#message', text); tab.press('#message', 'Enter')
def wait(tab, js): # The page forbids `eval`, which Playwright's own way of waiting uses
    end = time.monotonic()+20
    while not tab.evaluate(js): assert time.monotonic()<end, js; tab.wait_for_timeout(20)
def answered(tab, n=2): wait(tab, f"document.querySelectorAll('.answer[aria-busy=false]').length=={n}")

def test_page_answers_side_by_side(tab, runs):
    put(tab, ask[0]['content'])
    answered(tab)
    assert tab.locator('.answer .text').all_text_contents()==[greedy(r) for r in runs[:2]]
    assert tab.locator('.answer h2').all_text_contents()==['letters', 'other'] and tab.input_value('#message')==''
    put(tab, 'and tea?')
    answered(tab, 4)
    for k,r in enumerate(runs[:2]):
        talk = [*ask, dict(role='assistant', content=greedy(r)), dict(role='user', content='and tea?')]
        assert tab.locator('.answer .text').nth(2+k).text_content()==chat_reply(r.model, r.tok, talk, 20, temperature=0)
    tab.click('#new')
    assert tab.locator('.answer').count()==0 and tab.evaluate('document.activeElement.id')=='message'

def test_page_keys_stop_and_again(tab, site, endless):
    tab.fill('#message', 'one'); tab.press('#message', 'Shift+Enter'); tab.type('#message', 'two')
    assert tab.input_value('#message')=='one\ntwo' and not tab.locator('.answer').count()
    put(tab, 'one\ntwo', '1', '400')
    wait(tab, "[...document.querySelectorAll('.text')].every(o => o.textContent.length>5)")
    assert tab.is_visible('#stop') and not tab.is_visible('#send') and tab.locator('.answer[aria-busy=true]').count()
    tab.keyboard.press('Escape')
    answered(tab)
    assert tab.locator('.note').all_text_contents()==['Stopped.']*2 and tab.locator('#status').text_content()=='Stopped.'
    assert until(lambda: not any(e.live for e in site[0].engines.values()))
    before = tab.locator('.text').all_text_contents()
    tab.fill('#length', '10'); tab.click('#again')
    wait(tab, "document.getElementById('status').textContent=='Answered.'")
    assert tab.locator('.answer').count()==2 and tab.locator('.text').all_text_contents()!=before
    assert tab.locator('.note').all_text_contents()==['Cut off at the length you set.']*2

def test_page_copies_and_downloads(tab, runs):
    put(tab, ask[0]['content'])
    answered(tab)
    want = greedy(runs[1])
    tab.get_by_role('button', name='Copy the answer of other').click()
    wait(tab, "document.getElementById('status').textContent=='Copied.'")
    assert tab.evaluate('navigator.clipboard.readText()').replace('\r\n', '\n')==want
    with tab.expect_download() as d: tab.get_by_role('button', name='Download the answer of other').click()
    assert Path(d.value.path()).read_text(encoding='utf-8')==want and d.value.suggested_filename=='letter-1.txt'

def test_page_shows_html_as_text(tab, monkeypatch):
    evil = '<script>window.hit=1</script><img src=x onerror="window.hit=1">'
    monkeypatch.setattr('trionyx.api.Writer.put', lambda self, t=None: evil if t is None else '')
    put(tab, evil)
    answered(tab)
    assert tab.locator('.user').text_content()==evil and tab.locator('.text').all_text_contents()==[evil]*2
    assert tab.evaluate('window.hit') is None and not tab.locator('#log script, #log img').count()
    tab.evaluate("s => { const e = document.createElement('script'); e.textContent = s; document.body.append(e) }", 'window.hit=1')
    assert tab.evaluate('window.hit') is None and 'Content Security Policy' in tab.errors.pop()

def test_page_says_errors(tab, site, monkeypatch):
    put(tab, 'biscuits '*999)
    answered(tab)
    assert all('expected a message of at most' in o for o in tab.locator('.wrong').all_text_contents()) and tab.locator('.wrong').count()==2
    tab.errors.clear()
    tab.fill('#temperature', '7'); tab.fill('#message', 'hi'); tab.press('#message', 'Enter')
    assert tab.locator('.answer').count()==2 and tab.evaluate("document.activeElement.id")=='temperature'

def test_page_with_a_token(browser, runs):
    from trionyx.web import page
    with serving(Service(runs[:1], token='secret-token'), page(runs[:1], 400)) as url:
        t = browser.new_page()
        for to,said in (('/', 'Authorization'), ('/#token=secret-token', None)):
            t.goto('about:blank'); t.goto(url+to)
            put(t, 'hi')
            answered(t, 1)
            assert said in t.locator('.wrong').text_content() if said else t.locator('.text').text_content()
        assert t.url==url+'/'
        t.close()

def test_page_on_a_phone_and_for_screen_readers(tab):
    tab.set_viewport_size(dict(width=400, height=800))
    put(tab, ask[0]['content'])
    answered(tab)
    assert tab.evaluate('document.documentElement.scrollWidth')<=400
    boxes = [tab.locator('.answer').nth(k).bounding_box() for k in range(2)]
    assert boxes[1]['y']>boxes[0]['y'] and all(tab.locator(o).bounding_box()['height']>=40 for o in ('#send', '#message'))
    log = tab.get_by_role('log', name='Conversation')
    assert log.get_attribute('aria-live')=='polite' and tab.get_by_role('status').count()==1
    for label in ('Message', 'Temperature, 0 to 2', 'Most tokens, 1 to 400', 'What the model is told first'): assert tab.get_by_label(label, exact=True).count()==1
    assert tab.evaluate("[...document.querySelectorAll('button')].every(o => o.textContent.trim() || o.ariaLabel)")
    tab.focus('#message')
    seen = []
    for _ in range(14):
        tab.keyboard.press('Tab')
        seen.append(tab.evaluate("document.activeElement.id || document.activeElement.ariaLabel || document.activeElement.tagName"))
        if seen[-1] not in ('BODY', 'chat'): assert tab.evaluate("getComputedStyle(document.activeElement).outlineStyle")!='none'
    assert {'send', 'again', 'new', 'SUMMARY', 'temperature', 'length', 'system'} <= set(seen)
