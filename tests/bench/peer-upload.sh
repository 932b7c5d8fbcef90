#!/usr/bin/env bash
# What a person does without llmbatch: see that no custom_id is given twice, cut, and upload each piece.
# peer-upload.sh URL INPUT LINES FOLDER: prints the ids of the files.
set -euo pipefail
export LC_ALL=C
url=$1 input=$2 lines=$3 folder=$4

twice=$(jq -c .custom_id "$input" | sort | uniq -d | head -n 1)
[[ -z $twice ]] || { echo "$twice is given twice" >&2; exit 1; }
split -l "$lines" "$input" "$folder/piece-"
for piece in "$folder"/piece-*; do
  curl -sSf -F purpose=batch -F "file=@$piece;filename=${piece##*/}.jsonl;type=application/jsonl" "$url/files" | jq -r .id
done
