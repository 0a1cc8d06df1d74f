"Every test writes to temporary folders; what a run would write goes to a `TRIONYX_HOME` of its own"
import os, shutil, sys
from pathlib import Path
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for `house`
os.environ.setdefault('OMP_NUM_THREADS', '2')
os.environ.setdefault('HF_HUB_OFFLINE', '1')
os.environ.setdefault('MPLBACKEND', 'agg')

@pytest.fixture(scope='session', autouse=True)
def trionyx_home(tmp_path_factory):
    "The home folder of all runs in this session"
    old,new = os.environ.get('TRIONYX_HOME'),tmp_path_factory.mktemp('home')
    os.environ['TRIONYX_HOME'] = str(new)
    yield new
    os.environ.pop('TRIONYX_HOME') if old is None else os.environ.update(TRIONYX_HOME=old)

@pytest.fixture(scope='session')
def root():
    "The repository"
    return Path(__file__).resolve().parents[1]

@pytest.fixture(scope='module')
def browser():
    "Chromium, driven by playwright; skips where either is missing"
    from house import extra
    extra('playwright')
    exe = next((shutil.which(o) for o in ('chromium', 'chromium-browser', 'google-chrome') if shutil.which(o)), None)
    if not exe: pytest.skip('no Chromium here: apt-get install chromium')
    from playwright.sync_api import sync_playwright
    with sync_playwright() as p:
        b = p.chromium.launch(executable_path=exe, args=['--no-sandbox'])
        yield b
        b.close()

try:
    from hypothesis import settings
    settings.register_profile('trionyx', deadline=None, derandomize=True, database=None)
    settings.load_profile('trionyx')
except ImportError: pass
