#!/usr/bin/env bash
# Train Trionyx 2B as the post did: 12 billion tokens, depth 28, a node of 8 H200s. About 5 hours of GPUs, after a day or less of preparing data, which needs none.
#   bash scripts/trionyx_2b.sh --foi requests.jsonl          all of it; the FOI requests are your own (JSONL or CSV)
#   bash scripts/trionyx_2b.sh --foi requests.jsonl --only data      documents, tokenizer and tokens: run this on a machine without GPUs
#   bash scripts/trionyx_2b.sh --rehearse                    the same path here, in minutes: depth 2, a practice hub, generated requests
# Options: --recipe NAME (trionyx-2b; or trionyx-1.4b, next), --name NAME (the recipe's), --gpus N (those there are), --evals PLACES (evaluation data to keep out of the text), --bundle DIR (for CORE),
#   --sft FILES (conversations beside those of the post's mix, as sft.py --data takes them), --executor/--cluster as prepare.py has them.
# Stop it anywhere and start it again: it goes on. Everything is written under runs/, or $TRIONYX_HOME.
set -euo pipefail
cd "$(dirname "$0")/.."
case "${1:-}" in ''|-h|--help) sed -n '2,8s/^# *//p' "$0"; exit;; esac
foi='' only='' recipe=trionyx-2b name='' evals='' folders='' bundle='' sft='' gpus='' rehearse='' prepare=()
while [ $# -gt 0 ]; do
    case "$1" in
        --rehearse) rehearse=1; shift; continue ;;
        --foi|--only|--recipe|--name|--evals|--bundle|--sft|--gpus) [ $# -ge 2 ] || { echo "trionyx_2b.sh: expected a value after $1, found none. See --help." >&2; exit 2; }
            printf -v "${1#--}" %s "$2" ;;
        --executor|--cluster) [ $# -ge 2 ] || { echo "trionyx_2b.sh: expected a value after $1, found none. See --help." >&2; exit 2; }; prepare+=("$1" "$2") ;;
        *) echo "trionyx_2b.sh: expected an option, found $1. See --help." >&2; exit 2 ;;
    esac
    shift 2
done
[ -z "$only" ] || [ "$only" = data ] || { echo "trionyx_2b.sh: expected --only data, found --only $only." >&2; exit 2; }
[ -n "$rehearse$foi" ] || { echo "trionyx_2b.sh: expected --foi FILE, your own FOI requests, found none. To try the path without any: --rehearse." >&2; exit 2; }
[ -z "$foi" ] || [ -s "$foi" ] || { echo "trionyx_2b.sh: expected requests in $foi, found no such file, or an empty one." >&2; exit 2; }
. scripts/env.sh || exit 1
python scripts/plan.py --recipe "$recipe" --mix '' > /dev/null || exit 2   # Known? Said before anything is prepared
export TRIONYX_HOME=${TRIONYX_HOME:-runs}
gpus=${gpus:-$( (nvidia-smi --list-gpus 2>/dev/null || true) | wc -l)}

if [ -n "$rehearse" ]; then
    name=${name:-rehearsal} nominal=(8 60 6 10 60 10 40 20 10)
    vocab=4096 budget=1200000 train=(--depth 2 --seq 512 --batch 8192 --steps 140 --eval-every 70 --eval-tokens 60000 --save-secs 10)
    tune=(--foi 2000 --batch 8192 --steps 60 --save-secs 10) measure=(--all --limit 12 --docs 20 --letters 10)
    ranks=$((gpus > 0 ? gpus : 2)) prepare+=(--held-out 0.05)
    test=${TRIONYX_TEST_DATA:-../shared/data}   # Real questions, where this machine has some
    [ ! -d "$test/evals" ] || evals=${evals:-$test/evals,$test/eval_bundle_part}
    [ ! -d "$test/eval_bundle_small" ] || bundle=${bundle:-$test/eval_bundle_small}
    [ "$gpus" -gt 0 ] || export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
else
    name=${name:-$recipe} nominal=(1 40000 900 7000 18000 600 900 600 30)
    vocab=32768 budget=12.1e9 train=()
    tune=(--mix trionyx --long truncate --bad drop) measure=(--all --fetch)
    ranks=$gpus
    [ "$ranks" -gt 0 ] || [ "$only" = data ] || { echo "trionyx_2b.sh: expected GPUs, found none. Prepare the data here with --only data, or try the path with --rehearse." >&2; exit 2; }
fi
for p in ${evals//,/ }; do [ ! -d "$p" ] || folders=$folders${folders:+,}$p; done   # Questions are read from the folders that the text was cleaned of
measure+=(${folders:+--evals "$folders"} ${bundle:+--bundle "$bundle"})
names=(requests documents tokenizer tokens pretrain bench fine-tune bench report)
. scripts/stages.sh

next 'FOI prompts to keep out of the text'
prompts=$TRIONYX_HOME/data/$name-foi-prompts.jsonl
[ -s "$prompts" ] || python scripts/foi.py --kind prompts --n 2000 --out "$prompts"
if [ -n "$rehearse" ]; then
    foi=${foi:-$TRIONYX_HOME/data/$name-foi.jsonl}
    [ -s "$foi" ] || python scripts/foi.py --kind docs --n 3000 --out "$foi"
    log=$TRIONYX_HOME/data/$name-hub.log
    python scripts/mirror.py "$TRIONYX_HOME/data/$name-hub" --practice --port 0 > "$log" 2>&1 &
    trap 'kill %1 2>/dev/null || true' EXIT
    for _ in $(seq 3000); do grep -q HF_ENDPOINT= "$log" && break; kill -0 %1 2>/dev/null || { cat "$log" >&2; exit 1; }; sleep 0.2; done
    grep -q HF_ENDPOINT= "$log" || { echo "trionyx_2b.sh: expected the practice hub to answer within ten minutes, found no address in $log. Start again when the machine is less busy." >&2; exit 1; }
    eval "export $(grep -o 'HF_ENDPOINT=.*' "$log")"
fi
data=(--name "$name" --mix trionyx --budget "$budget" --data "foi=$foi" --evals "$prompts${evals:+,$evals}" ${prepare[@]+"${prepare[@]}"})
next 'as much of the 18 sources as the budget needs, cleaned, without duplicates'
python scripts/prepare.py "${data[@]}" --stage docs
next "a vocabulary of $vocab tokens"
python scripts/tokenizer.py --name "$name" --vocab "$vocab"
next 'documents as tokens, with a held-out part of each source'
python scripts/prepare.py "${data[@]}" --stage tokens
[ "$only" != data ] || { echo "The data are in $TRIONYX_HOME/data/$name, the tokenizer in $TRIONYX_HOME/tokenizer/$name. Start the same command without --only data on the GPUs."; exit; }

launch() { torchrun --standalone --max-restarts 3 --nproc_per_node="$ranks" "$@"; }
next 'a GPT learns to continue text'
launch scripts/pretrain.py --name "$name" --recipe "$recipe" ${train[@]+"${train[@]}"}
next 'bits per byte on held-out text, CORE, questions, programs, sums'
launch scripts/bench.py "$name" "${measure[@]}"
next 'it learns to answer'
launch scripts/sft.py "$name" "${tune[@]}" ${sft:+--data "$sft"}
next 'the same, and letters for prompts it has never seen'
launch scripts/bench.py "$name-sft" "${measure[@]}"
next 'figures and samples'
python scripts/bench.py --compare "$name" "$name-sft"
python scripts/ledger.py "$name" > "$TRIONYX_HOME/runs/$name/ledger/summary.txt"
python scripts/report.py "$name-sft"
printf '\n%s took %s. Talk to it: .venv/bin/python scripts/chat.py %s-sft\n' "$name" "$(clock $((SECONDS-began)))" "$name"
