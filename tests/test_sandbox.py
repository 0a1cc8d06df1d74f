"Programs that attack the score, the machine, or whoever runs them: none may pass, none may leave a trace"
import gzip, json, os, signal, subprocess, sys, time
from pathlib import Path
import pytest

pytestmark = pytest.mark.skipif(sys.platform!='linux', reason='the sandbox is for Linux')
if sys.platform=='linux':
    from trionyx import core
    from trionyx.core import TrionyxError
    from trionyx.sandbox import MACHINES, SANDBOXES, refusal, run_many, run_program

KINDS = SANDBOXES if sys.platform=='linux' else ()

@pytest.fixture(params=KINDS)
def kind(request):
    "Each sandbox that this machine allows"
    if no := refusal(request.param): pytest.skip(f'{request.param} does not work here: {no}')
    return request.param

@pytest.fixture(params=[*KINDS, 'unsafe'])
def any_kind(request, monkeypatch):
    "Also none: the score is safe without walls"
    if request.param=='unsafe': monkeypatch.setattr('trionyx.sandbox.refusal', lambda kind: 'forbidden for this test')
    elif no := refusal(request.param): pytest.skip(f'{request.param} does not work here: {no}')
    return request.param

def run(kind, code, tests, **kw):
    r = run_program(code, tests, 'f', **(dict(unsafe=True) if kind=='unsafe' else dict(sandbox=kind)), **kw)
    assert r.sandbox==kind
    return r

# The score. Every one of these would pass if it reached, fooled or imitated the tests. `why` proves that it failed for the right reason.
PLUS_ONE = 'seen = [f(i) for i in range(3)]\nassert seen==[1, 2, 3], seen\n'
SCORE = dict(
    exit0          = ('import sys\nsys.exit(0)', 'SystemExit'),
    exit_in_call   = ('import sys\ndef f(x): sys.exit(0)', 'SystemExit'),
    raise_exit     = ('raise SystemExit', 'SystemExit'),
    os_exit        = ('import os\nos._exit(0)', 'ended before'),
    os_exit_call   = ('import os\ndef f(x): os._exit(0)', 'ended before'),
    kill_self      = ('import os\ndef f(x): os.kill(os.getpid(), 9)', 'killed|PermissionError'),
    abort          = ('import os\ndef f(x): os.abort()', 'ended before|took longer'),
    exec_true      = ('import os\ndef f(x): os.execv("/usr/bin/true", ["true"])', 'ended before|FileNotFound'),
    interrupt      = ('def f(x): raise KeyboardInterrupt', 'KeyboardInterrupt'),
    generator_exit = ('def f(x): raise GeneratorExit', 'GeneratorExit'),
    stop           = ('def f(x): raise StopIteration', 'StopIteration'),
    stop_at_load   = ('raise StopIteration', 'StopIteration'),
    equal          = ('class Yes(int):\n    __eq__ = lambda *o: True\ndef f(x): return Yes()', r'\[0, 0, 0\]'),
    equal_list     = ('class Yes(list):\n    __eq__ = lambda *o: True\ndef f(x): return Yes()', r'\[\[\], \[\], \[\]\]'),
    equal_object   = ('class Yes:\n    __eq__ = lambda *o: True\ndef f(x): return Yes()', 'plain data'),
    equal_str      = ('class Yes(str):\n    __eq__ = __hash__ = lambda *o: 1\ndef f(x): return Yes("a")', "'a'"),
    nan            = ('def f(x): return float("nan")', 'nan'),
    mock           = ('from unittest.mock import MagicMock\nf = MagicMock()', 'plain data'),
    no_assert      = ('import builtins\nbuiltins.AssertionError = SystemExit\ndef f(x): return 0', r'\[0, 0, 0\]'),
    builtins       = ('import builtins\nbuiltins.exec = builtins.compile = builtins.range = lambda *o: []\ndef f(x): return 0', r'\[0, 0, 0\]|ended before'),
    empty_builtins = ('import builtins\nbuiltins.__dict__.clear()\ndef f(x): return 0', '.'),
    runner         = ('import sys\nm = sys.modules["__main__"]\nfor k in list(vars(m)): setattr(m, k, print)\ndef f(x): return 0', '.'),
    encoder        = ('import sys\nm = sys.modules["__main__"]\nm.encode = lambda x: b"q;"\ndef f(x): return 0', 'KeyError|ValueError|Error'),
    trace          = ('import sys\nsys.settrace(lambda *o: sys.exit(0))\ndef f(x): return 0', '.'),
    atexit         = ('import atexit, os\natexit.register(os._exit, 0)\nraise SystemExit', 'SystemExit'),
    signal_handler = ('import signal, os\nsignal.signal(signal.SIGALRM, lambda *o: os._exit(0))\nsignal.setitimer(signal.ITIMER_REAL, .01)\ndef f(x):\n    while True: pass', 'ended before'),
    thread         = ('import threading, time\nthreading.Thread(target=time.sleep, args=(99,)).start()\nraise SystemExit', "SystemExit|can't start"),
    word_gc        = ('import gc\ndef f(x): return "".join(("feed", "beef")) in repr(gc.get_objects())', r'\[False, False, False\]|Recursion|MemoryError'),
    word_frames    = ('import sys\ndef f(x):\n    o,s = sys._getframe(),""\n    while o: s += repr(o.f_locals)+repr(list(o.f_globals.items())); o = o.f_back\n    return "".join(("feed", "beef")) in s', r'\[False, False, False\]'),
    word_memory    = ('import gc\ndef f(x):\n    w = "feed"+str("beef")\n    return sum(w in r if isinstance(r, str) else w.encode() in r for o in gc.get_objects() for r in gc.get_referents(o) if isinstance(r, (str, bytes)) and r is not w)', r'\[0, 0, 0\]'),
    word_argv      = ('import sys, re\ndef f(x): return re.findall("assert|seen", repr(sys.orig_argv[-1:][0][-2000:]))', r'\[\[\], \[\], \[\]\]'),
    word_environ   = ('import os\ndef f(x): return sorted(set(os.environ)-{"LC_CTYPE", "PWD"})', r'\[\[\], \[\], \[\]\]'),
    word_pipes     = ('import os, fcntl\ndef f(x):\n    s = b""\n    for i in range(64):\n        try: os.set_blocking(i, False); s += os.read(i, 9999)\n        except OSError: pass\n    return s', r"\[b'', b'', b''\]|ended before"),
    word_stack     = ('import inspect\ndef f(x): return [o.function for o in inspect.stack() if o.function in ("judge", "check", "run_program")]', r'\[\[\], \[\], \[\]\]'),
    print_word     = ('def f(x): print("ready"); print("ok"); return 0', r'\[0, 0, 0\]'),
    write_all      = ('import os\ndef f(x):\n    for i in range(64):\n        try: os.write(i, b"ready\\n" + b"0"*32)\n        except OSError: pass\n    return 0', '.'),
    forged_answers = ('import os\ndef f(x): return 0\nfor i in range(64):\n    try: os.write(i, (11).to_bytes(8, "big") + b"l2;s2;oki9;")\n    except OSError: pass', '.'),
    huge_answer    = ('def f(x): return "x"*(1<<24)', 'at most'),
    huge_length    = ('import os\ndef f(x):\n    for i in range(64):\n        try: os.write(i, b"\\xff"*8)\n        except OSError: pass\n    return 0', 'at most|Error'),
    deep_answer    = ('def f(x):\n    o = []\n    for _ in range(100000): o = [o]\n    return o', 'Recursion'),
    close_all      = ('import os\ndef f(x): os.closerange(0, 64)', 'ended before|Error'),
    close_silent   = ('import os\nos.closerange(0, 64)\ndef f(x): return 0', '.'),
    replay         = ('import os\nif os.fork()==0: os._exit(0)\nos._exit(0)', 'ended before|PermissionError'),
    child_answers  = ('import os\npid = os.fork()\ndef f(x): return 0', r'.'),
    quiet_tests    = ('import fcntl, os\nfor i in (1, 2):\n    fcntl.fcntl(i, 4, os.O_NONBLOCK)\n    try:\n        while True: os.write(i, b"x"*4096)\n    except OSError: pass\ndef f(x): return 0', r'\[0, 0, 0\]|printed more'),
    planted        = ('for o in ("sitecustomize.py", "_socket.py", "os.py"): open(o, "w").write("import os; os._exit(0)")\ndef f(x): return 0', r'\[0, 0, 0\]|Permission'),
    no_function    = ('g = 1', 'no attribute'),
    syntax         = ('def f(x) return x+1', 'SyntaxError'),
    null_bytes     = ('def f(x): return x+1\0', 'null bytes'),
    module_getattr = ('def __getattr__(name): raise SystemExit', 'SystemExit'))

@pytest.mark.parametrize('name', SCORE)
def test_score(any_kind, name, monkeypatch):
    import re
    monkeypatch.setattr('trionyx.sandbox.secrets.token_hex', lambda n: 'feedbeef'*4) # so that one who finds the word can say so
    code,why = SCORE[name]
    r = run(any_kind, code, PLUS_ONE, wall=15)
    assert not r.ok and re.search(why, r.why), r

def test_the_right_answer(any_kind):
    r = run(any_kind, 'print("hello")\ndef f(x): return x+1', PLUS_ONE)
    assert r.ok, r

def test_a_loop_is_not_ended_quietly(any_kind):
    for o in ('StopIteration', 'StopAsyncIteration', 'GeneratorExit'):
        r = run(any_kind, f'def f(x): raise {o}', 'assert all(map(lambda i: f(i)==i+1, range(3)))')
        assert not r.ok and o in r.why, r

def test_tests_are_held_too(kind):
    assert not run(kind, 'def f(x): return 1', 'f(1)\nopen("/etc/passwd")').ok
    assert not run(kind, 'def f(x): return 1', 'f(1)\nraise SystemExit(0)').ok
    assert not run(kind, 'def f(x): return 1', 'import os\nf(1)\nos._exit(0)').ok
    assert not run(kind, 'def f(x): return 1', 'assert True').ok
    assert not run(kind, 'import os\ndef f(x): os._exit(0)', 'try: f(1)\nexcept Exception: pass').ok

# The machine. Each function returns 'owned' where the attack worked, and what stopped it otherwise.
TRY = 'import os, sys\ndef f(x):\n    try: return attack() or "owned"\n    except BaseException as e: return repr(e)\n'
C = 'import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\ndef call(*a):\n    if libc.syscall(*a)<0: raise OSError(ctypes.get_errno(), "denied")\n'
NR = dict(ptrace=(101, 117), mount=(165, 40), unshare=(272, 97), setns=(308, 268), shmget=(29, 194), memfd=(319, 279), bpf=(321, 280), keyctl=(250, 219), vm_read=(310, 270), chroot=(161, 51), io_uring=(425, 425),
          faults=(323, 282), pidfd_open=(434, 434), pidfd_getfd=(438, 438), inotify=(294, 26), fanotify=(300, 262), syslog=(103, 116), add_key=(248, 217), mlock=(149, 228), reboot=(169, 142))
def nr(name):
    import platform
    return NR[name][list(MACHINES).index(platform.machine())]

MACHINE = dict(
    passwd       = ('def attack(): open("/etc/passwd").read()', 'FileNotFound'),
    shadow       = ('def attack(): open("/etc/shadow").read()', 'FileNotFound'),
    home         = (f'def attack(): os.listdir({str(Path.home()/".ssh")!r})', 'FileNotFound|Permission'),
    home_list    = (f'def attack(): return repr(set(os.listdir({str(Path.home())!r}))-{{".pyenv", ".local", "miniconda3", "anaconda3"}})', r'set\(\)|FileNotFound'),
    repository   = (f'def attack(): os.listdir({str(Path(__file__).parent)!r})', 'FileNotFound'),
    packages     = ('def attack():\n    import torch', 'ModuleNotFound'),
    root_list    = ('def attack(): return repr(set(os.listdir("/"))&{"proc", "sys", "var", "home", "run", "mnt", "boot", "opt"})', r'set\(\)'),
    proc         = ('def attack(): open("/proc/self/mem")', 'FileNotFound'),
    proc_parent  = ('def attack(): open(f"/proc/{os.getppid()}/environ")', 'FileNotFound'),
    devices      = ('def attack(): return repr(os.listdir("/dev"))', r"\['null'\]"),
    write_root   = ('def attack(): open("/owned", "w")', 'Read-only|Permission'),
    write_python = ('def attack(): open(os.__file__, "a")', 'Read-only|Permission'),
    write_usr    = ('def attack(): open("/usr/lib/owned", "w")', 'Read-only|Permission'),
    delete_self  = ('import shutil\ndef attack(): os.unlink(sys.executable)', 'Read-only|Permission|busy'),
    delete_all   = ('import shutil\ndef attack():\n    shutil.rmtree(os.path.dirname(os.__file__)+"/json", ignore_errors=True)\n    os.stat(os.path.dirname(os.__file__)+"/json/__init__.py")\n    return "still there"', 'still there'),
    read_only    = ('import sys\ndef attack(): return repr([p for p in ("/", "/usr/lib", "/lib", os.__file__, sys.executable) if not os.statvfs(p).f_flag & os.ST_RDONLY])', r': \[\]'),
    chmod        = ('def attack(): os.chmod(os.__file__, 0o777)', 'Read-only|Permission|not permitted'),
    symlink      = ('def attack():\n    os.symlink("/etc/passwd", "/tmp/a")\n    open("/tmp/a").read()', 'FileNotFound'),
    symlink_up   = ('def attack():\n    os.symlink("../../../../..", "/tmp/up")\n    return repr(set(os.listdir("/tmp/up"))&{"proc", "home", "var"})', r'set\(\)'),
    hardlink     = ('def attack(): os.link(os.__file__, "/tmp/a")', 'cross-device|Permission|not permitted'),
    dotdot       = ('def attack():\n    os.chdir("/")\n    for _ in range(9): os.chdir("..")\n    return repr(set(os.listdir("."))&{"proc", "home", "var"})', r'set\(\)'),
    mknod        = ('import stat\ndef attack(): os.mknod("/tmp/sda", stat.S_IFBLK|0o666, os.makedev(8, 0))', 'not permitted'),
    open_fds     = ('def attack(): return repr([i for i in range(3, 64) if __import__("stat").S_IFMT(st(i)) not in (0, 0o10000)])\ndef st(i):\n    try: return os.fstat(i).st_mode\n    except OSError: return 0', r'\[\]'),
    internet     = ('import socket\ndef attack(): socket.create_connection(("1.1.1.1", 53), 1)', 'not permitted|unreachable'),
    udp          = ('import socket\ndef attack(): socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("8.8.8.8", 53))', 'not permitted|unreachable'),
    local        = ('import socket\ndef attack(): socket.create_connection(("127.0.0.1", 22), 1)', 'not permitted|refused|unreachable'),
    unix_socket  = ('import socket\ndef attack(): socket.socket(socket.AF_UNIX).connect("/var/run/docker.sock")', 'not permitted'),
    raw_socket   = ('import socket\ndef attack(): socket.socket(socket.AF_PACKET, socket.SOCK_RAW)', 'not permitted'),
    resolve      = ('import socket\ndef attack(): socket.getaddrinfo("example.com", 80)', 'gaierror|not permitted'),
    kill_parent  = ('def attack():\n    for p in (os.getppid(), 1): os.kill(p, 9)\n    import time\n    time.sleep(.2)\n    return "alive"', 'alive|not permitted'),
    kill_all     = ('import signal\ndef attack():\n    try: os.kill(-1, 0)\n    except ProcessLookupError: return "nobody"\n    return "nobody" if os.getpid()==2 else None', 'nobody|not permitted'),
    kill_group   = (f'def attack():\n    for p in ({os.getpid()}, {os.getppid()}, -{os.getpgrp()}): \n        try: os.kill(p, 9)\n        except ProcessLookupError: pass\n    return "nobody"', 'nobody|not permitted'),
    priority     = ('def attack(): os.setpriority(os.PRIO_PROCESS, 0, -19)', 'ermi'),
    limits       = ('import resource\ndef attack():\n    for k in ("AS", "CPU", "NPROC", "NOFILE", "FSIZE"): resource.setrlimit(getattr(resource, "RLIMIT_"+k), (-1, -1))', 'not allowed|ermi'),
    become_root  = ('def attack(): os.setuid(0)', 'not permitted|Invalid'),
    sudo         = ('import subprocess\ndef attack(): subprocess.run(["/usr/bin/sudo", "-n", "true"])', 'FileNotFound'),
    shell        = ('import subprocess\ndef attack(): subprocess.run("id", shell=True, check=True)', 'FileNotFound'),
    hostname     = ('import socket\ndef attack(): socket.sethostname("owned")', 'not permitted'),
    ptrace       = (C+'def attack(): call({ptrace}, 16, os.getppid(), 0, 0)', 'denied'),
    mount        = (C+'def attack(): call({mount}, b"tmpfs", b"/tmp", b"tmpfs", 0, 0)', 'denied'),
    unshare      = (C+'def attack(): call({unshare}, 0x10000000)', 'denied'),
    setns        = (C+'def attack(): call({setns}, 0, 0)', 'denied'),
    chroot       = (C+'def attack(): call({chroot}, b"/tmp")', 'denied'),
    shared_mem   = (C+'def attack(): call({shmget}, 0, 1<<30, 0o1600)', 'denied'),
    memfd        = (C+'def attack(): call({memfd}, b"x", 0)', 'denied'),
    bpf          = (C+'def attack(): call({bpf}, 0, 0, 0)', 'denied'),
    keyring      = (C+'def attack(): call({keyctl}, 0, -3, 0)', 'denied'),
    read_memory  = (C+'def attack(): call({vm_read}, 1, 0, 0, 0, 0, 0)', 'denied'),
    io_uring     = (C+'def attack(): call({io_uring}, 8, 0)', 'denied'),
    faults       = (C+'def attack(): call({faults}, 0)', 'denied'),
    traced_child = (C+'def attack():\n    if os.fork()==0:\n        try: call({ptrace}, 0, 0, 0, 0)\n        except OSError: os._exit(7)\n        os._exit(0)\n    return repr(os.waitstatus_to_exitcode(os.wait()[1]))', ': 7:'),
    take_fd      = (C+'def attack():\n    fd = libc.syscall({pidfd_open}, 1, 0)\n    for i in range(64): call({pidfd_getfd}, fd, i, 0)', 'denied'),
    own_fd       = (C+'def attack(): call({pidfd_getfd}, libc.syscall({pidfd_open}, os.getpid(), 0), 0, 0)', 'denied'),
    inotify      = (C+'def attack(): call({inotify}, 0)', 'denied'),
    fanotify     = (C+'def attack(): call({fanotify}, 0x200, 0)', 'denied'),
    kernel_log   = (C+'def attack():\n    b = ctypes.create_string_buffer(4096)\n    call({syslog}, 3, b, 4096)', 'denied'),
    add_key      = (C+'def attack(): call({add_key}, b"user", b"k", b"x"*99, 99, -3)', 'denied'),
    locked_mem   = (C+'def attack():\n    b = ctypes.create_string_buffer(1<<20)\n    call({mlock}, b, 1<<20)', 'denied'),
    reboot       = (C+'def attack(): call({reboot}, 0xfee1dead, 672274793, 0, 0)', 'denied'),
    clock        = ('import time\ndef attack(): time.clock_settime(time.CLOCK_REALTIME, 0)', 'not permitted'),
    real_time    = ('def attack(): os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))', 'not permitted'),
    pair         = ('import socket\ndef attack():\n    a,_ = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)\n    a.sendto(b"x", "/run/systemd/journal/socket")', 'not permitted'),
    abstract     = ('import socket\ndef attack():\n    a,_ = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)\n    a.connect("\\0/tmp/dbus")', 'not permitted'),
    terminal     = ('import fcntl, termios\ndef attack():\n    for p in ("/dev/tty", "/dev/console", "/dev/ptmx"):\n        try: os.open(p, os.O_RDWR)\n        except OSError: continue\n        return "owned"\n    for i in range(64):\n        try: fcntl.ioctl(i, termios.TIOCSTI, b"x")\n        except OSError: continue\n        return "owned"\n    return "no terminal"', 'no terminal'),
    core_limit   = ('import resource\ndef attack(): resource.setrlimit(resource.RLIMIT_CORE, (0, 0))', 'ermi|not allowed'),
    core_piped   = ('import resource\ndef attack(): return repr(resource.getrlimit(resource.RLIMIT_CORE))', r'\(1, 1\)'), # 1: no file, and nothing for a program that collects dumps
    rights       = (C+'def attack():\n    d = ctypes.create_string_buffer(24)\n    libc.capget((0x20080522).to_bytes(8, sys.byteorder), d)\n    return "none" if d.raw==bytes(24) else None', 'none'),
    stdin        = ('def attack(): return repr((os.read(0, 99), os.lseek(0, 0, 2)))', r"b'', 0"),
    xattrs       = ('def attack():\n    n = 0\n    for i in range(9999):\n        try: os.setxattr("/tmp", f"user.{i}", bytes(60000))\n        except OSError: return f"{n>>20} MB"\n        n += 60000\n', r'\b([0-9]|[123][0-9]) MB'),
    python_hooks = ('def attack():\n    for o in ("sitecustomize.py", "usercustomize.py", "a.pth", "json.py", "ctypes.py"): open(f"/tmp/{o}", "w").write("import os; os._exit(0)")\n    return repr([sys.flags.no_site, sys.flags.isolated, "" in sys.path or "/tmp" in sys.path])', r'\[1, 1, False\]'))

def machine_code(kind, code):
    "Result of bytes that are run as a function: other numberings of the kernel's calls"
    run_code = f'import ctypes, mmap\ndef f(x):\n    m = mmap.mmap(-1, 4096, prot=7)\n    m.write({code!r})\n    return ctypes.CFUNCTYPE(ctypes.c_long)(ctypes.addressof(ctypes.c_char.from_buffer(m)))()'
    return run(kind, run_code, 'got = f(1)\nassert got<0, got', wall=5)

@pytest.mark.skipif(os.uname().machine!='x86_64', reason='calls of x86')
def test_calls_by_other_numbers(kind):
    assert machine_code(kind, b'\xb8\x27\0\0\0\x0f\x05\xc3').why.startswith('AssertionError')       # getpid by its own number
    for o in (b'\xb8\x14\0\0\0\xcd\x80\xc3', b'\xb8\x27\0\0\x40\x0f\x05\xc3'):                    # of i386, of x32
        r = machine_code(kind, o)
        assert not r.ok and r.why.startswith('EOFError'), r

@pytest.mark.parametrize('name', MACHINE)
def test_machine(kind, name):
    import re
    code,why = MACHINE[name]
    for o in NR: code = code.replace('{'+o+'}', str(nr(o)))
    r = run(kind, TRY+code, 'got = f(1)\nassert got=="owned", got', wall=5)
    assert not r.ok and re.search(why, r.why) and 'NameError' not in r.why, r

FORKS = 'import os\ndef f(x):\n    n = 0\n    try:\n        while n<99:\n            if os.fork()==0: import time; time.sleep(99)\n            n += 1\n    except OSError: return n\n    return n'
THREADS = 'import threading, time\ndef f(x):\n    n = 0\n    try:\n        while n<99: threading.Thread(target=time.sleep, args=(99,)).start(); n += 1\n    except RuntimeError: return n\n    return n'
FILES = 'def f(x):\n    n = 0\n    try:\n        while n<99: open(f"/tmp/{n}", "wb").write(bytes(1<<20)); n += 1\n    except OSError as e: return n\n    return n'
RESOURCES = dict(
    spin          = ('while True: pass', dict(cpu=1), 'more than 1 s'),
    spin_caught   = ('import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass', dict(cpu=1), 'more than 1 s'),
    sleep         = ('import time\ntime.sleep(99)', dict(wall=1), 'longer than 1 s'),
    sleep_in_call = ('import time\ndef f(x): time.sleep(99)', dict(wall=1), 'longer than 1 s'),
    wait_input    = ('input()', {}, 'EOFError'),
    deaf          = ('import signal, time\nfor i in range(1, 32):\n    try: signal.signal(i, signal.SIG_IGN)\n    except OSError: pass\ntime.sleep(99)', dict(wall=1), 'longer than 1 s'),
    memory        = ('x = bytearray(1<<30)', {}, 'MemoryError'),
    memory_slow   = ('x = []\nwhile True: x.append(bytes(1<<20))', {}, 'MemoryError'),
    big_number    = ('x = 10**10**9', dict(cpu=1), 'MemoryError|more than 1 s'),
    output        = ('while True: print("x"*9999)', {}, 'printed more'),
    errors        = ('import sys\nwhile True: sys.stderr.write("x"*9999)', {}, 'printed more'),
    raw_output    = ('import os\nwhile True: os.write(1, b"x"*65536)', {}, 'printed more'),
    big_file      = ('open("/tmp/x", "wb").write(bytes(1<<26))', {}, 'too large'),
    many_files    = (FILES, {}, r'1[456]\b'),
    forks         = (FORKS, {}, r': 3\b'),
    fork_bomb     = ('import os\nwhile True:\n    try: os.fork()\n    except OSError: pass', dict(wall=2, cpu=2), 'longer than|more than'),
    threads       = (THREADS, {}, r': 3\b'),
    descriptors   = ('import os\nx = [os.open("/dev/null", 0) for _ in range(999)]', {}, 'Too many open files'),
    recursion     = ('def f(x): return f(x)', {}, 'RecursionError'),
    stack         = ('import sys\nsys.setrecursionlimit(10**9)\ndef f(x): return f(x)\nf(1)', dict(cpu=2), 'ended before|MemoryError|more than'),
    regex         = ('import re\nre.match("(a+)+$", "a"*99+"b")', dict(cpu=1), 'more than 1 s'),
    inodes        = ('import os\ndef f(x):\n    n = 0\n    try:\n        while n<60000: os.mkdir(f"/tmp/{n}"); n += 1\n    except OSError: return n//1000\n    return n//1000', {}, r': 9\b'),
    sparse        = ('import os\ndef f(x):\n    os.truncate(os.open("/tmp/x", os.O_CREAT|os.O_RDWR), 1<<40)', {}, 'too large'),
    stopped       = ('import os, signal\ndef f(x): os.kill(os.getpid(), signal.SIGSTOP)', dict(wall=1), 'longer than 1 s'),
    shared_memory = ('import mmap\ndef f(x): return len([mmap.mmap(-1, 1<<26) for _ in range(99)])', {}, 'Cannot allocate|MemoryError'),
    pipes         = ('import fcntl, os\ndef f(x):\n    n = 0\n    try:\n        for _ in range(99):\n            r,w = os.pipe()\n            fcntl.fcntl(w, 1031, 1<<20)\n            n += os.write(w, bytes(1<<20))\n    except OSError: return n>>20\n    return n>>20', {}, r': [0-9]\b|: [123][0-9]\b'),
    collisions    = ('def f(x): return {i*(2**61-1) for i in range(1, 60000)}', dict(cpu=1, wall=6), 'more than|longer than|at most|its tests ended'),
    orphan        = ('import os, time\nif os.fork()==0:\n    os.setsid()\n    if os.fork()==0: time.sleep(99)\nos._exit(0)', {}, 'ended before'))

@pytest.mark.parametrize('name', RESOURCES)
def test_resources(kind, name):
    import re
    code,limits,why = RESOURCES[name]
    t = time.monotonic()
    r = run(kind, code, 'got = f(1)\nassert got==99, got', **limits)
    assert not r.ok and re.search(why, r.why), r
    assert time.monotonic()-t<20

# Outside
def named(name):
    "Processes of this machine that call themselves `name`"
    res = []
    for p in Path('/proc').glob('[0-9]*/comm'):
        try: res += [p.parent.name] if p.read_text().strip()==name else []
        except OSError: pass
    return res

def gone(name, within=3):
    end = time.monotonic()+within
    while named(name) and time.monotonic()<end: time.sleep(.02)
    return not named(name)

MARK = 'import ctypes, os, time\nctypes.CDLL(None).prctl(15, b"{}", 0, 0, 0)\nif {}:\n    os.fork()\n    os.setsid()\ntime.sleep(99)\n'

def test_nothing_outlives(kind):
    name = f'trx{os.getpid()}'
    run(kind, MARK.format(name, 'os.fork()==0'), 'f(1)', wall=1)
    assert gone(name, 1)

def test_nothing_outlives_us(kind, tmp_path):
    "Also when whoever runs the programs is killed"
    name = f'try{os.getpid()}'
    p = subprocess.Popen([sys.executable, '-c', f'from trionyx.sandbox import run_program\nrun_program({MARK.format(name, 1)!r}, "f(1)", "f", sandbox={kind!r}, wall=60)'])
    end = time.monotonic()+60
    while not named(name) and time.monotonic()<end: time.sleep(.05)
    assert named(name)
    p.send_signal(signal.SIGKILL)
    p.wait()
    assert gone(name)

def test_nothing_carries_over(kind):
    leave = 'import os\ndef f(x):\n    open("/tmp/left", "w").write("x")\n    os.environ["LEFT"] = "x"\n    return os.listdir("/tmp")'
    assert run(kind, leave, 'assert f(1)==["left"]').ok
    assert run(kind, 'import os\ndef f(x): return os.listdir("/tmp")', 'assert f(1)==[]').ok

def test_programs_do_not_meet(kind):
    "Two at once see neither each other's files nor processes"
    code = 'import os, time\nopen("/tmp/a", "x")\ntime.sleep(.3)\ndef f(x): return os.getpid(), os.listdir("/tmp")'
    rs = run_many([dict(code=code, tests='assert f(1)==(2, ["a"]), f(1)', entry_point='f')]*4, workers=4, sandbox=kind)
    assert all(o.ok for o in rs), rs

def test_descriptors_stay_the_same(any_kind):
    "Nothing is left open on our side, whatever happened"
    codes = ['def f(x): return x+1', 'import os\nos._exit(0)', 'while True: print("x"*9999)', 'import time\ntime.sleep(9)']
    for o in codes: run(any_kind, o, PLUS_ONE, wall=1)
    n = len(os.listdir('/proc/self/fd'))
    for o in codes: run(any_kind, o, PLUS_ONE, wall=1)
    assert len(os.listdir('/proc/self/fd'))==n

def test_refused_without_a_sandbox(monkeypatch, capsys):
    "Never a silent fallback: refused, or said"
    monkeypatch.setattr('trionyx.sandbox.refusal', lambda kind: 'forbidden here')
    job = dict(code='def f(x): return x+1', tests=PLUS_ONE, entry_point='f')
    with pytest.raises(TrionyxError, match='apt install bubblewrap'): run_program(**job)
    with pytest.raises(TrionyxError, match='forbidden here'): run_many([job])
    r, = run_many([job], unsafe=True)
    assert r.ok and r.sandbox=='unsafe' and 'NO SANDBOX' in capsys.readouterr().out

def test_other_systems(monkeypatch):
    monkeypatch.setattr(sys, 'platform', 'darwin')
    with pytest.raises(TrionyxError, match='expected Linux'): run_program('', '', 'f', unsafe=True)

def test_a_sandbox_that_fails_is_no_wrong_answer(kind, monkeypatch):
    monkeypatch.setattr('trionyx.sandbox.views', lambda: [])
    with pytest.raises(TrionyxError, match=f'expected the sandbox {kind} to start'): run(kind, 'def f(x): return x+1', PLUS_ONE, wall=2)

@pytest.fixture(scope='module')
def tasks():
    p = core.test_data()/'evals/HumanEval.jsonl.gz' if core.test_data() else None
    if not p or not p.exists(): pytest.skip('HumanEval is missing: expected evals/HumanEval.jsonl.gz in $TRIONYX_TEST_DATA')
    with gzip.open(p) as f: return [json.loads(o) for o in f]

def test_humaneval(kind, tasks):
    "All own solutions pass, none does without its body; at the speed the issue asks for, where no one else computes"
    def programs(body): return [dict(code=d['prompt']+(body or d['canonical_solution']), tests=d['test'], entry_point=d['entry_point'], setup=d['prompt']) for d in tasks]
    t = time.monotonic()
    good = run_many(programs(''), sandbox=kind, wall=60, cpu=30)
    bad = run_many(programs('    return None\n'), sandbox=kind, wall=60, cpu=30)
    print(f'{kind}: {2*len(tasks)/(time.monotonic()-t):.1f} programs a second')
    assert [(d['task_id'], o.why) for d,o in zip(tasks, good) if not o.ok]==[] and len(good)==164
    assert [d['task_id'] for d,o in zip(tasks, bad) if o.ok]==[]
