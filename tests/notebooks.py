"""Run notebooks as `nbdev_test` does, two at a time. Each has a process of its own, so none leans on what another left behind; all are forks of one
that has the large packages in memory, as to import them anew takes some seconds each time:

    python tests/notebooks.py nbs/05_model.ipynb nbs/06_optim.ipynb

A line for each, and below it what a failed one said."""
import os, sys, time
from importlib import import_module
from multiprocessing import connection, get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from house import root

PRELOAD = 'torch._dynamo pandas matplotlib.pyplot IPython nbdev.test nbdev.showdoc'.split()

def run(path, log):
    "In the new process: the notebook, with all that it prints in `log`"
    from nbdev.config import get_config
    from nbdev.test import test_nb
    fd = os.open(log, os.O_WRONLY | os.O_CREAT)
    for n in (1, 2): os.dup2(fd, n)
    os.chdir(root/'nbs')
    ok,_ = test_nb(path, skip_flags=get_config().tst_flags.split(), basepath=root)
    sys.exit(not ok)

def main(paths, at_once=2):
    for o in PRELOAD: import_module(o)
    ctx,queue,running,bad = get_context('fork'),list(paths),{},0
    with TemporaryDirectory() as d:
        while queue or running:
            while queue and len(running)<at_once:
                path = queue.pop(0)
                log = Path(d, f'{path.stem}.log')
                p = ctx.Process(target=run, args=(path, log))
                p.start()
                running[p.sentinel] = p,path,log,time.time()
            for s in connection.wait(list(running)):
                p,path,log,t = running.pop(s)
                p.join()
                bad += bool(p.exitcode)
                print(f"{'FAILED' if p.exitcode else 'ok    '} {path.name} ({time.time()-t:.0f} s)", flush=True)
                if p.exitcode: print(f"{log.read_text(errors='replace') if log.exists() else ''}\nexit code {p.exitcode}", flush=True)
    return bad

if __name__=='__main__': sys.exit(main([Path(o).resolve() for o in sys.argv[1:]])>0)
