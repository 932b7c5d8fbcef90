#!/usr/bin/env bash
# The how-to's four calls, as a person would script them: howto.sh <gateway> <batch.jsonl> <results.jsonl>
set -euo pipefail
gateway=$1 input=$2 output=$3

field() { python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]] or "")' "$1"; }

file=$(curl -sSf -F purpose=batch -F "file=@$input" "$gateway/files" | field id)
batch=$(curl -sSf "$gateway/batches" -H 'Content-Type: application/json' --data \
    "{\"input_file_id\": \"$file\", \"endpoint\": \"/v1/chat/completions\", \"completion_window\": \"24h\"}" | field id)
while true; do
    sleep 1
    shown=$(curl -sSf "$gateway/batches/$batch")
    case $(field status <<<"$shown") in
        completed) break ;;
        failed | expired | cancelled) echo "$shown" >&2; exit 1 ;;
    esac
done
curl -sSf -o "$output" "$gateway/files/$(field output_file_id <<<"$shown")/content"
