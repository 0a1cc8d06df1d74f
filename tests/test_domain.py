"The page 'Your own domain', followed word for word: its commands, as they stand there, in a fresh folder"
import json, os, re, shlex, shutil, subprocess, sys
from pathlib import Path
import nbformat, pytest
from house import IGNORED, root, run

page = root/'nbs/19_domain.ipynb'

def commands(path):
    "The lines of all `sh` blocks of a notebook, in order"
    md = '\n'.join(c.source for c in nbformat.read(path, 4).cells if c.cell_type=='markdown')
    return [o.strip() for o in re.findall(r'(?ms)^```sh\n(.*?)^```', md)]

@pytest.fixture(scope='module')
def clone(tmp_path_factory):
    "The project in a folder of its own, with this environment as the one that env.sh would have made there"
    d,env = tmp_path_factory.mktemp('fresh')/'trionyx',Path(sys.prefix)
    if not (env/'pyvenv.cfg').exists(): pytest.skip('this Python is not in a virtual environment')
    shutil.copytree(root, d, ignore=shutil.ignore_patterns(*IGNORED, '*.egg-info', '.git*'))
    (d/'.venv').mkdir()
    for o in ('bin', 'lib'): (d/'.venv'/o).symlink_to((env/o).resolve())
    shutil.copy(env/'pyvenv.cfg', d/'.venv')
    stamp = run('bash', '-c', f'trionyx_root={shlex.quote(str(d))}; eval "$(sed -n "/^trionyx_stamp()/,/^}}/p" scripts/env.sh)"; trionyx_stamp', cwd=d)
    (d/'.venv/trionyx.stamp').write_text(stamp.stdout)
    return d

def test_blocks_hold_all_commands():
    text = '\n'.join(commands(page))
    assert all(f'scripts/{o}.py' in text for o in ('domain', 'prepare', 'tokenizer', 'pretrain', 'sft', 'chat'))

def test_page_word_for_word(clone):
    env = {k: v for k,v in os.environ.items() if k not in ('TRIONYX_HOME', 'VIRTUAL_ENV', 'IN_TEST')} | dict(PYTHONPATH=str(clone), OMP_NUM_THREADS='1', TQDM_DISABLE='1')
    r = subprocess.run(['bash', '-eo', 'pipefail', '-c', '\n'.join(commands(page))], cwd=clone, env=env, capture_output=True, text=True, timeout=3000)
    assert r.returncode==0, r.stdout[-3000:]+r.stderr[-3000:]
    res = json.loads((clone/'runs/runs/claims-sft/domain-claims.json').read_text())['result']
    other = res['other']['score']
    assert res['n']==40 and res['interval'][0]>other+0.15, (res['score'], res['interval'], other)  # The texts change with LOG.md, and the score with them: 0.82 to 0.96 were seen
    assert 'Dear LNER,' in r.stdout and '[Your Name]' in r.stdout.split('Dear LNER,')[-1], r.stdout[-1500:]
    kept = {json.loads(o)['prompt'] for o in open(clone/'runs/data/claims-prompts.jsonl')}
    assert not kept & {json.loads(o)['messages'][0]['content'] for o in open(clone/'runs/data/claims-chats.jsonl')}
    print(r.stdout[-2500:])
