"""What a run survives: kill -9 at any moment and at every operation of a save, SIGTERM, full and read-only disks, damaged checkpoints, a rank that hangs.
After each fault the run is started again and must end with the weights, optimizer state, losses and ledger of a run that nothing disturbed, bit for bit.
As a script it goes on for as long as one likes: `python tests/test_faults.py --kills 500` (with `--seed`, `--ranks 1,2`). Faults are put in from here; the package knows nothing of them."""
import argparse, contextlib, json, os, random, resource, shutil, signal, socket, subprocess, sys, tempfile, threading, time
from pathlib import Path
os.environ.setdefault('OMP_NUM_THREADS', '1')
import numpy as np, pytest, torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

STEPS = 12
ARGS = dict(data='d', depth=1, seq=16, batch=64, steps=STEPS, eval_every=5, eval_tokens=100, dtype='float32', save_secs=0, keep_last=2)
LIFE = 240 # Seconds after which a process that should have ended is a failure, also on a busy machine

# ---- one rank's process

def operations(do):
    "Call `do(number, fn)` at each operation on the disk below ckpt/: fn is what it is about to do, half of it where that is possible"
    from trionyx import checkpoints
    n = [0]
    def at(path, half=None):
        if f'{os.sep}ckpt' in str(path): do(n[0], half); n[0] += 1
    def audit(event, args):
        if event in ('os.rename', 'os.mkdir', 'os.remove', 'os.rmdir') or event=='open' and isinstance(args[1], str) and args[1][0] in 'wax': at(os.fspath(args[0]) if not isinstance(args[0], int) else '')
    fsync = os.fsync
    def fsynced(fd):
        at(os.readlink(f'/proc/self/fd/{fd}'))
        fsync(fd)
    def saved(ts, path, *rest):
        def half():
            save_file(ts, path, *rest)
            os.truncate(path, os.path.getsize(path)//2)
        at(path, half)
        save_file(ts, path, *rest)
    os.fsync,checkpoints.save_file = fsynced,saved
    sys.addaudithook(audit)
    return n

def in_turn():
    "Let each save end before the next step begins: the operations of a run are then always the same"
    from trionyx.checkpoints import Save
    after = Save.after_step
    def after_step(self, t): after(self, t), self.saver.bg.wait(), after(self, t)
    Save.after_step = after_step

def slow_disk(secs):
    "Each file takes so long: training goes on meanwhile"
    from trionyx import checkpoints
    def saved(*o): time.sleep(secs), save_file(*o)
    checkpoints.save_file = saved

def at_step(n, fn):
    "Call `fn()` as step `n` begins"
    from trionyx.train import Trainer
    one = Trainer.one_step
    def one_step(self):
        if self.step==n: fn()
        return one(self)
    Trainer.one_step = one_step

def kill(): os.kill(os.getpid(), signal.SIGKILL)

def put_in(fault, rank):
    "Prepare a fault in this process"
    if not fault: return
    if fault.get('in_turn'): in_turn()
    if 'slow_disk' in fault: slow_disk(fault['slow_disk'])
    if rank!=fault.get('rank', rank): return
    if 'op' in fault:
        def do(n, half):
            if n!=fault['op']: return
            if half and fault.get('half'): half()
            kill()
        operations(do)
    if 'die_at' in fault: at_step(fault['die_at'], kill)
    if 'hang_at' in fault: at_step(fault['hang_at'], sleep_for_ever)
    if 'term_at' in fault: at_step(fault['term_at'], lambda: os.kill(os.getpid(), signal.SIGTERM))
    if 'file_size' in fault: resource.setrlimit(resource.RLIMIT_FSIZE, (fault['file_size'],)*2)
    if 'no_check' in fault: sys.modules['trionyx.checkpoints'].check_space = lambda *o: None
    if 'slow' in fault: at_step(fault['slow'], lambda: time.sleep(.5))
    if 'ops' in fault:
        count = operations(lambda n, half: None)
        import atexit
        atexit.register(lambda: Path(fault['ops']).write_text(str(count[0])))

def sleep_for_ever(): time.sleep(1e6)

def under_torchrun(name):
    "A rank that torchrun has started; it fails in its first life only"
    from trionyx import core, run
    torch.set_num_threads(1)
    sys.modules['trionyx.checkpoints'].HURRY = 1.
    if os.environ['TORCHELASTIC_RESTART_COUNT']=='0': put_in(json.loads(os.environ['FAULT']), int(os.environ['RANK']))
    core.launch(run.pretrain, argv=[f'--{k}={v}' for k,v in {**ARGS, 'name':name}.items()])

def life(home, name, rank, world, port, fault, args):
    "What a rank does, from its fork to its exit code"
    from trionyx import core, run
    with open(home/f'{name}-{rank}.txt', 'ab') as f: os.dup2(f.fileno(), 1), os.dup2(f.fileno(), 2)
    sys.stdout,sys.stderr,sys.__stderr__ = [os.fdopen(o, 'w', buffering=1) for o in (1, 2, 2)]
    os.environ.update(TRIONYX_HOME=str(home), RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(world), MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port))
    for s in (signal.SIGTERM, signal.SIGINT): signal.signal(s, signal.SIG_DFL)
    torch.set_num_threads(1)
    put_in(fault, rank)
    core.launch(run.pretrain, argv=[f'--{k}={v}' for k,v in {**ARGS, 'name':name, **args}.items()])

# ---- all ranks of a run, as torchrun would start them, without the seconds that imports take

class Ranks:
    "Processes forked from this one, which has imported all it needs"
    def __init__(self, home, name, world=1, fault=None, **args):
        self.home,self.name,self.rc = home,name,{}
        for r in range(world): (home/f'{name}-{r}.txt').write_bytes(b'')
        with socket.socket() as s: s.bind(('127.0.0.1', 0)); port = s.getsockname()[1]
        self.pids = [self.fork(r, world, port, fault, args) for r in range(world)]
    def fork(self, *o):
        sys.stdout.flush(), sys.stderr.flush()
        if pid := os.fork(): return pid
        code = 70
        try: life(self.home, self.name, *o); code = 0
        except SystemExit as e: code = e.code or 0
        except BaseException:
            import traceback; traceback.print_exc()
        finally:
            with contextlib.suppress(Exception):
                import atexit; atexit._run_exitfuncs()
                sys.stdout.flush(), sys.stderr.flush()
            os._exit(code)
    def ended(self, r):
        "Has rank `r` ended?"
        if r not in self.rc:
            pid,st = os.waitpid(self.pids[r], os.WNOHANG)
            if pid: self.rc[r] = os.waitstatus_to_exitcode(st)
        return r in self.rc
    def kill(self, *rs, sig=signal.SIGKILL):
        for r in rs or range(len(self.pids)):
            if not self.ended(r): os.kill(self.pids[r], sig)
    def wait(self, secs=LIFE, alone=False):
        "Exit codes; once a rank has failed the others are killed, as torchrun does it, unless they are left alone"
        end = time.monotonic()+secs
        while not all([self.ended(r) for r in range(len(self.pids))]):
            if any(self.rc.values()) and not alone: time.sleep(random.random()*.03); self.kill(); alone = True
            if time.monotonic()>end: self.kill(); raise AssertionError(f'{self.name}: ranks still there after {secs} s\n{self.said()}')
            time.sleep(.002)
        return [self.rc[r] for r in range(len(self.pids))]
    def said(self, n=3000): return '\n'.join((self.home/f'{self.name}-{r}.txt').read_text()[-n:] for r in range(len(self.pids)))

def finish(home, name, world=1, **args):
    "Run to the end; what it said"
    p = Ranks(home, name, world, **args)
    assert not any(p.wait()), p.said()
    return p.said(10**6)

# ---- what must hold

def corpus(home):
    "Two sources of random words, and a tokenizer; imports all that the forked processes need"
    import torch._dynamo, trionyx.run
    from trionyx.shards import write_shards
    from trionyx.tokenizer import train_tokenizer
    rng = np.random.default_rng(0)
    texts = {k: [' '.join(''.join(rng.choice(list('abcdef'), 3)) for _ in range(rng.integers(5, 40))) for _ in range(80)] for k in ('web', 'foi')}
    tok = train_tokenizer(sum(texts.values(), []), 290)
    tok.save(home/'tokenizer/d')
    ids = {k: [[tok.bos, *tok.encode(t)] for t in ts] for k,ts in texts.items()}
    write_shards(home/'data/d', {k: dict(train=v[9:], val=v[:9]) for k,v in ids.items()}, tok.n_vocab, tok.hash)

def records(home, name, f): return [json.loads(l) for l in (home/'runs'/name/f).read_text().splitlines()]

def outcome(home, name):
    "All that must not depend on what happened on the way"
    from trionyx.checkpoints import latest_checkpoint
    p = latest_checkpoint(home/'runs'/name)
    ms = records(home, name, 'metrics.jsonl')
    return dict(step=p.name, tensors={f.name: {k: v.numpy().tobytes() for k,v in load_file(f).items()} for f in sorted(p.glob('*.safetensors'))},
                losses=[[o[k] for k in ('step', 'loss', 'bpb', 'grad_norm')] for o in ms if 'loss' in o],
                held_out=[(o['step'], o['val_bpb']) for o in ms if 'val_bpb' in o], ledger=records(home, name, 'ledger/ledger.jsonl'))

def check(home, name, world=1):
    "The run ended as the undisturbed one"
    a,b = outcome(home, name),outcome(home, f'whole{world}')
    assert [o[0] for o in a['losses']]==list(range(1, STEPS+1)), 'a step is missing or there twice'
    for k in b: assert a[k]==b[k], f'{k} differs from that of the undisturbed run'
    left = sorted(o.name for o in (home/'runs'/name/'ckpt').iterdir())
    assert left==[f'step-{STEPS:06d}'], left

def newest(home, name):
    "Step of the newest checkpoint; every folder that is called one must be whole"
    from trionyx.checkpoints import checkpoints, step_of
    from trionyx.core import read_manifest
    ps = checkpoints(home/'runs'/name)
    for p in ps: read_manifest(p)
    return step_of(ps[-1]) if ps else 0

class Kills:
    "Kills runs (and asks some to stop), starts them again, and checks what comes of it"
    def __init__(self, home, seed=0, ranks=(1, 2)):
        self.home,self.rng,self.ranks,self.runs,self.kills,self.by = home,random.Random(seed),ranks,0,0,{}
        self.secs,self.ops = {},{}
        for w in ranks: self.measure(w)
    def measure(self, w):
        "The undisturbed run: how long it takes, and how many operations on the disk each of its ranks does"
        if not (self.home/f'runs/whole{w}').exists(): finish(self.home, f'whole{w}', w)
        t0 = time.monotonic()
        finish(self.home, f'timed{w}', w)
        self.secs[w] = time.monotonic()-t0
        for r in range(w):
            finish(self.home, f'ops{w}{r}', w, fault=dict(in_turn=True, rank=r, ops=str(self.home/f'ops{w}{r}')))
            self.ops[w,r] = int((self.home/f'ops{w}{r}').read_text())
        check(self.home, f'timed{w}', w)
    def once(self):
        "One run, killed over and over until it ends; yields at each kill"
        w,self.runs = self.rng.choice(self.ranks),self.runs+1
        name,was = f'k{self.runs}',0
        for _ in range(40):
            how = self.rng.choice(['moment', 'op', 'half', 'term'] if w==1 else ['moment', 'moment of one', 'op', 'half', 'term'])
            r = self.rng.randrange(w)
            if how in ('moment', 'moment of one', 'term'):
                p = Ranks(self.home, name, w, dict(slow_disk=.05*self.rng.random()))
                time.sleep(self.rng.random()*self.secs[w])
                p.kill(*([r] if how=='moment of one' else []), sig=signal.SIGTERM if how=='term' else signal.SIGKILL)
            else: p = Ranks(self.home, name, w, fault=dict(in_turn=True, rank=r, op=self.rng.randrange(self.ops[w,r]), half=how=='half'))
            rc = p.wait()
            step = newest(self.home, name)
            assert step>=was, f'{name}: checkpoint {was} is gone, {step} is there'
            was = step
            if not any(rc): break
            assert how=='term' or -signal.SIGKILL in rc, f'{name}: {rc}\n{p.said()}'
            self.kills,self.by[how] = self.kills+1,self.by.get(how, 0)+1
            yield how
        else: finish(self.home, name, w)
        check(self.home, name, w)
        shutil.rmtree(self.home/'runs'/name)
    def __iter__(self):
        while True: yield from self.once()

@contextlib.contextmanager
def small_disk(folder, mb):
    "A disk of its own, where that is allowed"
    folder.mkdir(parents=True, exist_ok=True)
    if os.geteuid() or not shutil.which('mount') or subprocess.run(['mount', '-t', 'tmpfs', '-o', f'size={mb}m', 'tmpfs', folder], capture_output=True).returncode: pytest.skip('mounting is not allowed here')
    try: yield folder
    finally: subprocess.run(['umount', '-l', folder])

# ---- as a script

def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument('--kills', type=int, default=50, help='How often to kill')
    p.add_argument('--seed', type=int, default=None, help='Of moments and places; drawn if left out')
    p.add_argument('--ranks', default='1,2', help='Numbers of ranks')
    p.add_argument('--life', help=argparse.SUPPRESS)
    a = p.parse_args()
    if a.life: return under_torchrun(a.life)
    seed = random.randrange(10**6) if a.seed is None else a.seed
    from trionyx.core import track
    home = Path(tempfile.mkdtemp())
    corpus(home)
    t0,ks = time.monotonic(),Kills(home, seed, [int(o) for o in a.ranks.split(',')])
    try:
        for _ in track(zip(range(a.kills), ks), 'killed', a.kills, 'kill'): pass
    except BaseException as e: sys.exit(f'seed {seed}, after {ks.kills} kills in {ks.runs} runs, kept in {home}: {type(e).__name__}: {e}')
    print(f'seed {seed}: {ks.kills} kills ({", ".join(f"{v} {k}" for k,v in sorted(ks.by.items()))}) in {ks.runs} runs, each ended as the undisturbed one; {time.monotonic()-t0:.0f} s')
    shutil.rmtree(home)

if __name__=='__main__':
    main()
    sys.exit()

# ---- as tests

@pytest.fixture(scope='module')
def home(tmp_path_factory):
    h = tmp_path_factory.mktemp('faults')
    corpus(h)
    for w in (1, 2): finish(h, f'whole{w}', w)
    return h

def stopped(home, name, world=1, at=5, **fault):
    "A run that was asked to stop in step `at`, and did"
    p = Ranks(home, name, world, dict(term_at=at, **fault))
    assert p.wait(alone=True)==[130]*world, p.said()
    return newest(home, name)

def fails(home, name, world=1, fault=None, **args):
    "A run that ends with one line of error; that line"
    p = Ranks(home, name, world, fault, **args)
    assert 1 in p.wait(), p.said()
    return next(l for l in p.said().splitlines() if 'expected' in l and 'found' in l)

def test_killed_at_random(home):
    "Moments and places are drawn anew each time; the seed is part of the message"
    seed = random.randrange(10**6)
    ks = Kills(home, seed)
    try:
        for _ in zip(range(50), ks): pass
    except AssertionError as e: raise AssertionError(f'seed {seed}: {e}') from e

@pytest.mark.parametrize('half', [False, True])
def test_killed_at_each_operation(home, half):
    "Rank 0 of two, through one save from its first operation on the disk to its last; half: after half of what it was about to write"
    start = f'start{half}'
    assert stopped(home, start, 2, at=3)==4
    ops,n = [],0
    while True:
        name = f'each{n}'
        shutil.copytree(home/'runs'/start, home/'runs'/name)
        rc = Ranks(home, name, 2, dict(in_turn=True, rank=0, op=n, half=half)).wait()
        ops.append(newest(home, name))
        assert ops[-1]>=4 and -signal.SIGKILL in rc
        finish(home, name, 2)
        check(home, name, 2)
        shutil.rmtree(home/'runs'/name)
        if ops[-1]>4: break
        n += 7 if half else 5
    assert n>12

@pytest.mark.parametrize('world', [1, 2])
def test_sigterm_saves_in_time(home, world):
    t0 = time.monotonic()
    assert stopped(home, f'term{world}', world)==6
    assert time.monotonic()-t0<30
    assert 'go on from step 6' in finish(home, f'term{world}', world)
    check(home, f'term{world}', world)

def test_full_disk(home):
    "Seen beforehand; and where it fills up between the look and the write. With room again, the same command goes on"
    with small_disk(home/'runs/full/ckpt', 9) as disk:
        assert stopped(home, 'full')==6
        room = newest(home, 'full')
        (disk/'others').write_bytes(bytes(shutil.disk_usage(disk).free-10**6))
        assert 'free space' in fails(home, 'full')
        line = fails(home, 'full', fault=dict(no_check=True))
        assert 'No space left' in line and 'Free some space' in line and 'step-000006' in line
        assert newest(home, 'full')==room
        (disk/'others').unlink()
        finish(home, 'full')
        check(home, 'full')

def test_file_size_limit(home):
    "As a full disk, without a disk of its own: no file may exceed 100 kB"
    assert stopped(home, 'limit')==6
    line = fails(home, 'limit', fault=dict(file_size=100_000))
    assert 'File too large' in line and 'step-000006' in line
    assert newest(home, 'limit')==6
    finish(home, 'limit')
    check(home, 'limit')

def test_read_only(home):
    "The folder of checkpoints turns read-only while training"
    with small_disk(home/'runs/ro/ckpt', 40) as disk:
        assert stopped(home, 'ro')==6
        p = Ranks(home, 'ro', 1, dict(slow=8), save_secs=1e6, keep_every=9)
        while 'step 7/' not in p.said() and not p.ended(0): time.sleep(.01)
        subprocess.run(['mount', '-o', 'remount,ro', disk], check=True)
        assert p.wait()==[1] and 'Make the folder writable' in p.said() and 'step-000006' in p.said(), p.said()
        assert newest(home, 'ro')==6
        assert 'Make the folder writable' in fails(home, 'ro')
        subprocess.run(['mount', '-o', 'remount,rw', disk], check=True)
        finish(home, 'ro')
        check(home, 'ro')

def flip(f):
    b = bytearray(f.read_bytes())
    b[random.randrange(len(b))] ^= 1<<random.randrange(8)
    f.write_bytes(b)

def cut(f): os.truncate(f, f.stat().st_size//2)

@pytest.mark.parametrize('hurt', [flip, cut])
def test_damage(home, hurt):
    "One bit, anywhere, or half the bytes, in each file of the newest checkpoint: it is named and passed over, the one before serves"
    from trionyx.checkpoints import latest_checkpoint
    w = 2 if hurt is flip else 1
    assert stopped(home, hurt.__name__, w, at=7)==8
    assert stopped(home, hurt.__name__, w, at=9)==10
    run = home/'runs'/hurt.__name__
    files = sorted(o.name for o in (run/'ckpt/step-000010').iterdir())
    assert len(files)==3+2*w
    for i,f in enumerate(files):
        name = f'{hurt.__name__}{i}'
        shutil.copytree(run, home/'runs'/name)
        hurt(home/'runs'/name/'ckpt/step-000010'/f)
        said = finish(home, name, w)
        assert 'passed over' in said and 'go on from step 8' in said, (f, said)
        assert f in said or f=='manifest.json', (f, said)
        check(home, name, w)

def test_hang(home):
    "Rank 1 hangs: the run ends by itself and says so, with the place; the other says that it waits, or is ended with it"
    p = Ranks(home, 'hang', 2, dict(hang_at=4, rank=1), hang_secs=10)
    assert p.wait()[1]==1
    said = (home/'hang-1.txt').read_text()
    assert 'rank 1 of 2' in said and 'hangs: no sign of life for 10 seconds' in said and 'sleep_for_ever' in said, said
    assert 'hangs' not in (home/'hang-0.txt').read_text()
    finish(home, 'hang', 2)
    check(home, 'hang', 2)

def torchrun(home, name, *args, **fault):
    env = {**os.environ, 'TRIONYX_HOME':str(home), 'FAULT':json.dumps(fault)}
    return subprocess.Popen([sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc_per_node=2', *args, __file__, '--life', name], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

def test_torchrun(home):
    "SIGTERM to torchrun, which gives its ranks 30 seconds; then a rank that dies, and --max-restarts, which brings the run back"
    p = torchrun(home, 'agent', slow=5)
    end = time.monotonic()+LIFE
    while time.monotonic()<end and not (f := home/'runs/agent/metrics.jsonl').exists() or f.read_text().count('"loss"')<5: time.sleep(.02)
    p.terminate()
    said = p.communicate(timeout=LIFE)[0]
    assert newest(home, 'agent')==6, said
    p = torchrun(home, 'agent', '--max-restarts=2', die_at=8, rank=1)
    said = p.communicate(timeout=LIFE)[0]
    assert p.returncode==0 and said.count('go on from step')==2, said
    check(home, 'agent', 2)
