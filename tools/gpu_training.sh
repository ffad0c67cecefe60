#!/usr/bin/env bash
# Trains a paper's whole network on rendered people within a time budget: the one command for a machine with a GPU.
#
#     MOTION="poses.npz clips.npz" bash tools/gpu_training.sh       # synthetic-jotr, 30 minutes, weights in out/
#     RECIPE=synthetic-multi_roi MINUTES=60 WHEELS=wheels MOTION=poses.npz bash tools/gpu_training.sh
#     DEBUG=1 bash tools/gpu_training.sh                            # all of it at debug size, on two cores
#
# A first part of the people is rendered, then the training starts while all cores render the rest; when that is done,
# it goes on with all of them. Called again it goes on where it was: WORK holds shards, checkpoints and the time spent.
# OUT gets the weights in 16 bits, in pieces, with SHA256SUMS and join.sh, which joins them. Paths are the checkout's.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

DEBUG=${DEBUG:-}
if [ -n "$DEBUG" ]; then
    : "${MINUTES:=3}" "${SCENES:=768}" "${FIRST:=256}" "${SIZE:=64}" "${SAVING:=25}" "${PIECE_BYTES:=50000}"
    TRAIN="--batch 8 --precision float32 --set encoder=test_resnet --set size=64 --set width=32 --set heads=4
        --set hidden=64 --set volume_hidden=64 --set depth=3 --set encoder_layers=1 --set volume_layers=1
        --set decoder_layers=2 ${TRAIN:-}"
fi
RECIPE=${RECIPE:-synthetic-jotr}
MINUTES=${MINUTES:-30}                 # of all calls together
CALL_MINUTES=${CALL_MINUTES:-$MINUTES} # of this call; 0: only write OUT
MOTION=${MOTION:-}                     # motion files (`humesh synth --help`), spaces between
SCENES=${SCENES:-60000}                # photos to render: about 40 a second and core, 20 KB each
FIRST=${FIRST:-6000}                   # photos rendered before the training starts
HELD_OUT=${HELD_OUT:-512}              # photos for the validation: as many as the recipe holds out
PEOPLE=${PEOPLE:-1 3}                  # least and greatest number of people in a photo
SIZE=${SIZE:-256}                      # side of a photo, px
CORES=${CORES:-$(nproc)}
PYTHON=${PYTHON:-python3}
WHEELS=${WHEELS:-}                     # a folder of wheels that PYTHON lacks; they are installed into WORK
INIT=${INIT:-}                         # weights to start from
STEPS=${STEPS:-}                       # steps of the training; default: as many as the time allows
TRAIN=${TRAIN:-}                       # more options of `humesh train`, as --pretrained resnet50.pth
WORK=${WORK:-build/gpu_training}
OUT=${OUT:-out}
PIECE_BYTES=${PIECE_BYTES:-15000000}
PIECES=${PIECES:-}                     # numbers of the pieces to write into OUT, as "00 01"; default: all
SAVING=${SAVING:-60}                   # seconds kept for the last checkpoint and the pieces

RUN=$WORK/$RECIPE
HUMESH=("$PYTHON" -c "from humesh.commands.main import main; main()")
renderer="" trainer="" killer="" code=0

say() { echo "$(date +%T) gpu_training: $*"; }
spent() { echo $((before + SECONDS)); }
remember() { spent >"$WORK/seconds"; }
lesser() { echo $(($1 < $2 ? $1 : $2)); }
left() { lesser $((60 * CALL_MINUTES - SECONDS - SAVING)) $((60 * MINUTES - $(spent) - SAVING)); }
running() { [ -n "$1" ] && kill -0 "$1" 2>/dev/null; }
shards() { find "$1" -name 'people-*.npz' 2>/dev/null | wc -l; }
complete() { [ $((256 * $(shards "$1"))) -ge "$2" ]; } # FOLDER COUNT: 256 photos in a shard
step() { find "$RUN" -name 'checkpoint-*.pt' | sed 's/.*checkpoint-0*//; s/\.pt$//' | sort -n | tail -n 1; }

render() { # FOLDER COUNT SEED
    read -ra motion <<<"$MOTION"
    read -ra people <<<"$PEOPLE"
    exec nice -n 10 "${HUMESH[@]}" synth --motion "${motion[@]}" -o "$1" --count "$2" --seed "$3" \
        --people "${people[@]}" --size "$SIZE" --workers "$CORES"
}

# Trains for at most $1 seconds, or until the rendering ends if it is under way; sets `code` and `pace`.
train() {
    local began=$SECONDS from rendering="" data=(--data "$WORK/first") options=()
    running "$renderer" && rendering=1
    from=$(step)
    [ "$(shards "$WORK/rest")" -gt 0 ] && data+=(--data "$WORK/rest")
    data+=(--data "$WORK/held_out") # held out are the last of all
    read -ra options <<<"${TRAIN//$'\n'/ }"
    [ -n "$INIT" ] && options+=(--init "$INIT")
    [ -n "$steps" ] && options+=(--steps "$steps")
    say "training from step ${from:-0} on $(($(shards "$WORK/first") + $(shards "$WORK/rest"))) shards for at most $1 s"
    "${HUMESH[@]}" train "$RECIPE" -o "$RUN" "${data[@]}" "${options[@]}" &
    trainer=$!
    while running "$trainer"; do
        if [ $((SECONDS - began)) -ge "$1" ] || { [ -n "$rendering" ] && ! running "$renderer"; }; then
            kill -TERM "$trainer" 2>/dev/null || true # it saves a checkpoint and the weights
            (sleep "$SAVING" && exec kill -KILL "$trainer") &
            killer=$!
            break
        fi
        remember
        sleep 1
    done
    code=0
    wait "$trainer" || code=$?
    [ -z "$killer" ] || kill "$killer" 2>/dev/null || code=130 # it was too slow to end and was killed
    trainer="" killer=""
    if [ -z "$pace" ] || [ $((SECONDS - began)) -ge 60 ]; then # short ones are mostly their start
        pace="$(($(step) - ${from:-0})) $((SECONDS - began))"  # steps in seconds
    fi
    [ -n "$rendering" ] || echo "$pace" >"$RUN/pace"
}

if [ -z "$MOTION$DEBUG" ]; then
    echo "gpu_training: expected motion files in MOTION, got none; see \`humesh synth --help\`." >&2
    exit 2
fi
mkdir -p "$WORK" "$OUT" "$RUN"
trap 'kill $trainer $renderer $killer 2>/dev/null || true' EXIT # whatever happens, nothing is left running
before=$(cat "$WORK/seconds" 2>/dev/null || echo 0)
if [ -n "$WHEELS" ]; then
    "$PYTHON" -m pip install -q --no-index --no-deps --upgrade --target "$WORK/site" "$WHEELS"/*.whl
fi
export PYTHONPATH="$PWD/src:$WORK/site${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
"$PYTHON" -c "import humesh, torch; print('humesh', humesh.__version__, 'torch', torch.__version__, 'on',
    torch.cuda.get_device_name() if torch.cuda.is_available() else 'the CPU')"

if [ -n "$DEBUG" ] && [ -z "$MOTION" ]; then
    MOTION=$WORK/poses.npz
    "$PYTHON" -c "import numpy as np, sys; np.savez(sys.argv[1], poses=np.random.default_rng(0).normal(0, 0.2, (300, 24, 3)))" \
        "$MOTION"
fi

if [ "$(left)" -gt 0 ]; then
    complete "$WORK/held_out" "$HELD_OUT" || (render "$WORK/held_out" "$HELD_OUT" 0)
    complete "$WORK/first" "$FIRST" || (render "$WORK/first" "$FIRST" 1)
    if ! complete "$WORK/rest" $((SCENES - FIRST)); then
        render "$WORK/rest" $((SCENES - FIRST)) 2 &
        renderer=$!
    fi
fi
pace=$(cat "$RUN/pace" 2>/dev/null || true) steps=$STEPS
while [ "$(left)" -gt "$SAVING" ]; do
    time=$(left)
    if [ -z "$STEPS" ] && [ -n "$pace" ]; then # the learning rate's schedule ends with the time
        read -r done_steps seconds <<<"$pace"
        remaining=$(($(spent) + SAVING < 60 * MINUTES ? 60 * MINUTES - $(spent) - SAVING : 0))
        steps=$(($(step) + done_steps * remaining / (seconds + 1) + 1))
    fi
    # Until the pace without rendering is known, not for long.
    [ -n "$STEPS" ] || [ -f "$RUN/pace" ] || time=$((time / 4 + 1))
    train "$time"
    [ "$code" -eq 130 ] || break # 0: all steps are done
done
remember

if [ -f "$RUN/weights.safetensors" ]; then
    name=$RECIPE.safetensors
    rm -rf "$WORK/pieces" "$OUT/$RECIPE".* "$OUT/SHA256SUMS" "$OUT/join.sh"
    mkdir "$WORK/pieces"
    "$PYTHON" - "$RUN/weights.safetensors" "$WORK/pieces/$name" <<'END'
import sys

from humesh.methods.weights import load_method, save_weights

header, method = load_method(sys.argv[1])
save_weights(sys.argv[2], header.method, method, header.body, header.notes, half=True)
END
    (
        cd "$WORK/pieces"
        split -b "$PIECE_BYTES" -d -a 2 "$name" "$name.part-"
        sha256sum "$name" "$name".part-* >SHA256SUMS
        cat >join.sh <<END
#!/usr/bin/env bash
# Joins the pieces beside it into $name and checks it.
cd "\$(dirname "\$0")" && cat $name.part-* >$name && grep ' $name\$' SHA256SUMS | sha256sum --check
END
    )
    for piece in "$WORK/pieces/$name".part-*; do
        if [ -z "$PIECES" ] || [[ " $PIECES " == *" ${piece##*-} "* ]]; then cp "$piece" "$OUT"; fi
    done
    cp "$WORK/pieces/SHA256SUMS" "$WORK/pieces/join.sh" "$OUT"
    for table in validation log; do
        [ ! -f "$RUN/$table.csv" ] || cp "$RUN/$table.csv" "$OUT/$RECIPE.$table.csv"
    done
    say "step $(step), $(spent) s in all: $OUT holds $(find "$OUT" -name "$name.part-*" | wc -l) pieces; bash $OUT/join.sh"
else
    say "no weights yet after $(spent) of $((60 * MINUTES)) s; call again with more MINUTES"
fi
case $code in 0 | 130) exit 0 ;; *) exit "$code" ;; esac
