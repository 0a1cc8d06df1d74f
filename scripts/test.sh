#!/usr/bin/env bash
# All checks, from a fresh clone on; the last line counts what passed and what failed.
#   bash scripts/test.sh                         every notebook and every test
#   bash scripts/test.sh 05_model 06_optim       only some notebooks
set -uo pipefail
cd "$(dirname "$0")/.."
case "${1:-}" in -h|--help) sed -n '2,4s/^# *//p' "$0"; exit;; esac
. scripts/env.sh || exit 1
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} MKL_NUM_THREADS=${MKL_NUM_THREADS:-1} TOKENIZERS_PARALLELISM=false MPLBACKEND=agg HF_HUB_OFFLINE=1
export TQDM_DISABLE=1
unset IN_TEST
passed=0 failed=0 started=$SECONDS
work=$(mktemp -d "${TMPDIR:-/tmp}/trionyx-test.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'echo "interrupted after $passed passed, $failed failed"; exit 130' INT TERM
export work TRIONYX_HOME="$work/home"

count() { if [ "$2" -eq 0 ]; then passed=$((passed+1)); echo "ok     $1"; else failed=$((failed+1)); echo "FAILED $1"; fi; }

nbs=()
for o in "$@"; do
    f="nbs/$(basename "${o%.ipynb}").ipynb"
    [ -f "$f" ] || { echo "expected notebooks among: $(cd nbs && echo *.ipynb | sed 's/\.ipynb//g'); found '$o'" >&2; exit 2; }
    nbs+=("$f")
done
if [ $# -eq 0 ]; then
    nbs=(nbs/*.ipynb)
    python tests/house.py snapshot > "$work/before"
    ruff check --no-cache --select E9,F401,F821 trionyx; count 'ruff check trionyx' $?
fi

echo "== ${#nbs[@]} notebooks, two at a time"
python tests/notebooks.py "${nbs[@]}" | tee "$work/notebooks.log"
good=$(grep -cE '^ok     \w+\.ipynb \(' "$work/notebooks.log")
passed=$((passed+good)) failed=$((failed+${#nbs[@]}-good))

if [ $# -eq 0 ]; then
    trionyx_extra ray==2.60.0; count 'a Ray for tests/test_executors.py' $?
    trionyx_extra transformers==5.23.0; count 'transformers for tests/test_export.py' $?
    trionyx_extra openai==3.54.0; count 'the openai client for tests/test_serve.py' $?
    trionyx_extra playwright==1.65.2; count 'playwright for tests/test_serve.py' $?
    echo "== pytest tests"
    # Two processes, and a file's tests in one of them: they share what is dear to make.
    python -m pytest tests -q -n 2 --dist loadfile -p no:cacheprovider --basetemp="$work/pytest" --durations=12 2>&1 | tee "$work/pytest.log"
    rc=${PIPESTATUS[0]}
    last=$(grep -E '^(=+ )?[0-9]+ (passed|failed|error|skipped).* in ' "$work/pytest.log" | tail -n 1)
    get() { printf '%s' "$last" | grep -oE "[0-9]+ $1" | grep -oE '[0-9]+' || echo 0; }
    p=$(get passed) f=$(( $(get failed) + $(get error) ))
    [ "$rc" -eq 0 ] || [ "$f" -gt 0 ] || f=1      # pytest itself broke
    passed=$((passed+p)) failed=$((failed+f))
    python tests/house.py snapshot > "$work/after"
    diff "$work/before" "$work/after"; count 'the tests left the tree as it was' $?
fi
echo "== $((SECONDS-started)) s"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
