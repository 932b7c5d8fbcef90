#!/usr/bin/env bash
# What a person does without llmbatch: download the results of each piece, and put them into the order of the input.
# peer-collect.sh URL INPUT FOLDER RESULTS FILE-ID…
set -euo pipefail
export LC_ALL=C
url=$1 input=$2 folder=$3 results=$4
shift 4

jq -r .custom_id "$input" | awk '{print $0 "\t" NR}' | sort -t $'\t' -k 1,1 > "$folder/order"
for id in "$@"; do
  curl -sSf "$url/files/$id/content"
done > "$folder/got"
# JSON has no tabs of its own: in a text they are escaped.
paste <(jq -r '[.custom_id, .error == null and .response.status_code == 200] | @tsv' "$folder/got") "$folder/got" |
  sort -t $'\t' -k 1,1 > "$folder/judged"
join -t $'\t' "$folder/order" "$folder/judged" | sort -t $'\t' -k 2,2n |
  awk -F '\t' -v bad="$folder/failed" '{ print $4 > ($3 == "true" ? "/dev/stdout" : bad) }' > "$results"
