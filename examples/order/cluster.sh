#!/usr/bin/env bash
# Three nodes on a real Kafka, on this machine: orders through the workflow of this folder, a kill -9 of the node that
# leads most, the hand-over, and the finished orders. Ends everything that it started. PAWL_BUILD names a build directory.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
build=${PAWL_BUILD:-$root/build/release}
work=$(mktemp -d)
declare -A node=()
service=
cleanup() {
  kill ${service:+"$service"} "${node[@]}" 2>/dev/null || true
  # The nodes need Kafka to end, and Kafka ends when its standard input does.
  wait ${service:+"$service"} "${node[@]}" 2>/dev/null || true
  [[ -z "${KAFKA[1]:-}" ]] || exec {KAFKA[1]}>&-
  wait 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT
say() { printf '\n\033[1m# %s\033[0m\n' "$*"; }
on() {
  local name=$1
  shift
  "$build/bin/shop" --data "$work/$name" "$@"
}
show() {
  local name=$1
  shift
  printf '\033[2m$ shop %s      # asked of %s\033[0m\n' "$*" "$name"
  on "$name" "$@"
}
start_node() {
  PAWL_NODE_NAME=$1 "$build/bin/shop" --data "$work/$1" --set log.level=warn node >>"$work/$1.log" 2>&1 &
  node[$1]=$!
}
await_node() {
  for _ in $(seq 600); do on "$1" status >/dev/null 2>&1 && return; sleep 0.05; done
  cat "$work/$1.log" >&2
  echo "node $1 did not come up" >&2
  exit 1
}

say "a real Kafka, one broker"
coproc KAFKA { PAWL_SOURCE="$root" exec python3 "$root/tests/scripts/kafka_broker.py" serve 2>"$work/kafka.log"; }
read -r ready brokers <&"${KAFKA[0]}" || { cat "$work/kafka.log" >&2; exit 1; }
echo "$ready at $brokers"

say "a payment service that fails, answers 503 and 429, hangs, and loses answers"
"$build/examples/order/payment_service" --seed 7 --port-file "$work/port" --fail-rate 0.15 --unavailable-rate 0.1 --throttle-rate 0.05 \
  --hang-rate 0.05 --drop-after-rate 0.1 >"$work/service.log" 2>&1 &
service=$!
for _ in $(seq 200); do [ -s "$work/port" ] && break; sleep 0.05; done
export ORDER_SERVICE_URL="http://127.0.0.1:$(cat "$work/port")"
echo "listening on $ORDER_SERVICE_URL"

say "three nodes: the same binary, the same settings"
export PAWL_KAFKA_BROKERS=$brokers PAWL_KAFKA_DURABILITY=single-broker PAWL_KAFKA_NAMESPACE=shop PAWL_KAFKA_PARTITIONS=6
export PAWL_HTTP_LISTEN=127.0.0.1:0
env | grep '^PAWL_' | sort
for name in n1 n2 n3; do start_node $name; done
for name in n1 n2 n3; do await_node $name; done
# Each takes its share when it has caught up.
for _ in $(seq 200); do
  [[ "$(on n1 -o json partitions | jq -r '[.partitions[].leader_name] | group_by(.) | map(length) | join(",")')" == 2,2,2 ]] && break
  sleep 0.1
done
show n1 nodes
show n1 partitions

say "24 orders, a third of them asked of each node"
for k in $(seq 24); do
  on "n$((k % 3 + 1))" start fulfil-order --id "o-$k" --input "{\"id\":\"o-$k\",\"total\":$((k * 10)).5,\"card\":\"tok_$k\"}" >/dev/null
done
echo "24 orders accepted"

victim=$(on n1 -o json partitions | jq -r '.partitions[0].leader_name')
other=n1
[[ $victim != n1 ]] || other=n2
say "kill -9 of $victim, in the middle"
kill -9 "${node[$victim]}"
wait "${node[$victim]}" 2>/dev/null || true
unset "node[$victim]"
began=$(date +%s%N)
while on $other -o json partitions | jq -e --arg v "$victim" '[.partitions[] | select(.leader_name == $v or .leader == "")] | length > 0' >/dev/null; do sleep 0.1; done
echo "others lead its partitions after $((($(date +%s%N) - began) / 1000000)) ms (kafka.session is 3 s)"
show $other nodes
show $other partitions

say "every order goes on"
for k in $(seq 24); do on $other result "o-$k" --wait >/dev/null 2>&1 || [ $? -eq 1 ]; done
show $other list --limit 30

say "what the outside saw: at most one effect per idempotency key"
curl -fsS "$ORDER_SERVICE_URL/stats?keys=false"
echo

say "SIGTERM, and every history is replayed against each node's views"
for name in "${!node[@]}"; do kill "${node[$name]}"; done
for name in "${!node[@]}"; do
  wait "${node[$name]}"
  show "$name" verify
done
node=()
