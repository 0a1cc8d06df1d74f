"Metadata of the package, read from settings.ini (the rest stands in pyproject.toml)"
from configparser import ConfigParser
from pathlib import Path
from setuptools import setup, find_packages

cfg = ConfigParser(delimiters='=')
cfg.read(Path(__file__).with_name('settings.ini'), encoding='utf-8')
s = cfg['DEFAULT']
setup(
    name=s['lib_name'], version=s['version'], description=s['description'], author=s['author'], author_email=s['author_email'],
    url=s['git_url'], keywords=s['keywords'].split(), python_requires='>=' + s['min_python'],
    long_description=Path(__file__).with_name('README.md').read_text(encoding='utf-8'), long_description_content_type='text/markdown',
    packages=find_packages(include=[s['lib_name'], s['lib_name'] + '.*']), package_data={s['lib_name']: ['data/*']},
    install_requires=s['requirements'].split(), extras_require={k: s[f'{k}_requirements'].split() for k in ('dev', 'lang', 'ray', 'harness')},
    entry_points=dict(nbdev=[f"{s['lib_name']} = {s['lib_name']}._modidx:d"]))
