# Sourced by demo.sh and trionyx_2b.sh. They set `names`, the stages, and `nominal`, the seconds that each took where they were measured (LOG.md);
# `next TEXT` says which stage begins, and how long the rest takes at the pace of this machine so far.
began=$SECONDS stage=-1 done_nominal=0 spent=0
clock() { if [ "$1" -ge 3600 ]; then printf '%dh%02dm' $(($1/3600)) $(($1%3600/60)); else printf '%dm%02ds' $(($1/60)) $(($1%60)); fi; }
next() {
    [ $stage -lt 0 ] || { local took=$((SECONDS-at)); [ $took -lt 3 ] || { spent=$((spent+took)); done_nominal=$((done_nominal+nominal[stage])); }; }
    stage=$((stage+1)) at=$SECONDS
    local left=0 i
    for ((i=stage; i<${#names[@]}; i++)); do left=$((left+nominal[i])); done
    [ $done_nominal -lt 20 ] || left=$((left*spent/done_nominal))
    printf '\n== %d/%d %s: %s (%s so far, about %s left)\n' $((stage+1)) ${#names[@]} "${names[stage]}" "$1" "$(clock $((SECONDS-began)))" "$(clock $left)"
}
