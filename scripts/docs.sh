#!/usr/bin/env bash
# Render the site into _docs and show it. Quarto is installed where it is missing, which needs a network once.
#   bash scripts/docs.sh                     then open http://127.0.0.1:8000/
#   bash scripts/docs.sh --no-serve          only render, as the workflow does that publishes
#   bash scripts/docs.sh 8080                on another port
set -euo pipefail
cd "$(dirname "$0")/.."
case "${1:-}" in -h|--help) sed -n '2,5s/^# *//p' "$0"; exit;; esac
. scripts/env.sh || exit 1
serve=1 port=8000
for o in "$@"; do case $o in --no-serve) serve='';; *[!0-9]*|'') echo "expected [--no-serve] [PORT], found '$o'" >&2; exit 2;; *) port=$o;; esac; done

if ! command -v quarto >/dev/null; then
    echo "docs: installing Quarto (its PyPI package fetches the program from GitHub, about 120 MB)" >&2
    python -m pip install -q --disable-pip-version-check quarto-cli==1.7.34 || {
        echo "docs: expected a way to Quarto, found neither the program nor the network for it. Install it from https://quarto.org and start again." >&2; exit 1; }
fi
export IN_TEST=1 QUARTO_PYTHON="$PWD/.venv/bin/python"
rm -rf _docs .quarto nbs/.quarto nbs/_quarto.yml nbs/nbdev.yml   # Quarto's cache does not see changes in other files than the notebook
quarto render
touch _docs/.nojekyll
echo "docs: the site is in _docs"
[ -z "$serve" ] || { echo "docs: http://127.0.0.1:$port (Ctrl-C ends)"; exec python -m http.server "$port" --bind 127.0.0.1 --directory _docs; }
