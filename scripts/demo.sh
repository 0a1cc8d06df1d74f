#!/usr/bin/env bash
# Train a small Trionyx on this machine, from nothing: about ten minutes on two cores that multiply bfloat16, half an hour on others; no GPU, no download but the packages.
#   bash scripts/demo.sh                         the demo
#   bash scripts/demo.sh --data notes=my.jsonl --license CC0-1.0
#       with documents of your own beside it (also a folder, parquet, .gz, .zst); the licence is for records that name none
# Stop it anywhere (Ctrl-C, or worse) and start it again: it goes on. Everything is written under runs/, or $TRIONYX_HOME.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh || exit 1
case "${1:-}" in -h|--help) sed -n '2,6s/^# *//p' "$0"; exit;; esac
own='' license=()
while [ $# -gt 0 ]; do
    case "$1" in
        --data) own=${2:-} ;;
        --license) license=(--license "${2:-}") ;;
        *) own='' license=() ;;
    esac
    [ $# -ge 2 ] && [ -n "$own${license[*]-}" ] || { echo "demo.sh: expected --data FILE and --license NAME, or nothing, found $*. See --help." >&2; exit 2; }
    shift 2
done
export TRIONYX_HOME=${TRIONYX_HOME:-runs}
foi=$TRIONYX_HOME/data/demo-foi.jsonl
letter='Write an FOI request to TfL about biscuits'

names=(requests documents tokenizer tokens pretrain fine-tune bench report)
nominal=(3 12 4 6 180 290 12 8) # seconds where bfloat16 is multiplied
grep -qsE 'avx512_bf16|amx_bf16' /proc/cpuinfo || nominal=(4 19 5 8 677 1084 46 29) # and where it is not: LOG.md, 2026-11-26
. scripts/stages.sh

next 'FOI requests made from topics and authorities, to read in pretraining'
[ -s "$foi" ] || python scripts/foi.py --kind docs --n 4000 --out "$foi"
next 'the documentation of the installed Python packages, cleaned, without duplicates'
python scripts/prepare.py --name demo --packages --data "foi=$foi${own:+,$own}" ${license[@]+"${license[@]}"} --held-out 0.02 --stage docs
next 'a vocabulary of 4,096 tokens, learned from these documents'
python scripts/tokenizer.py --name demo --vocab 4096
next 'documents as tokens, with a held-out part of each source'
python scripts/prepare.py --name demo --stage tokens
next 'a GPT of 4 layers learns to continue text'
python scripts/pretrain.py --name demo --recipe demo --eval-every 200 --eval-tokens 60000 --save-secs 15
next 'it learns to answer with a letter'
python scripts/sft.py demo --foi 14000 --batch 2048 --steps 1700 --eval-every 850 --save-secs 15
next 'bits per byte on held-out text, and 50 letters for prompts it has never seen'
python scripts/bench.py demo --what bpb
python scripts/bench.py demo-sft --what foi --letters 50
next 'figures and samples'
python scripts/report.py demo-sft
printf '\n== "%s"\n\n' "$letter"
python scripts/chat.py demo-sft --temperature 0 -p "$letter"
printf '\nThe demo took %s. Talk to it: .venv/bin/python scripts/chat.py demo-sft\nIn the browser:              .venv/bin/python scripts/serve.py demo-sft\n' "$(clock $((SECONDS-began)))"
