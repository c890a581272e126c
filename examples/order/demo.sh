#!/usr/bin/env bash
# The main job, for real: orders through the workflow of this folder, against the payment service with its faults on, a
# kill -9 of the node in the middle, and the finished histories. PAWL_BUILD names a build directory.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
build=${PAWL_BUILD:-$here/../../build/release}
work=$(mktemp -d)
service= node=
trap 'kill ${node:+"$node"} ${service:+"$service"} 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$work"' EXIT
shop() { "$build/bin/shop" --data "$work/data" "$@"; }
say() { printf '\n\033[1m# %s\033[0m\n' "$*"; }
show() { printf '\033[2m$ shop %s\033[0m\n' "$*"; shop "$@"; }

start_node() {
  # Not the function: $! has to be the node itself, so that a kill hits nothing else.
  "$build/bin/shop" --data "$work/data" --set log.level=warn node >>"$work/node.log" 2>&1 &
  node=$!
  for _ in $(seq 200); do shop status >/dev/null 2>&1 && return; sleep 0.05; done
  cat "$work/node.log" >&2
  echo "the node did not come up" >&2
  exit 1
}

say "a payment service that fails, answers 503 and 429, hangs, and loses answers"
"$build/examples/order/payment_service" --seed 7 --port-file "$work/port" --fail-rate 0.15 --unavailable-rate 0.1 --throttle-rate 0.05 \
  --hang-rate 0.05 --drop-after-rate 0.1 >"$work/service.log" 2>&1 &
service=$!
for _ in $(seq 200); do [ -s "$work/port" ] && break; sleep 0.05; done
export ORDER_SERVICE_URL="http://127.0.0.1:$(cat "$work/port")"
echo "listening on $ORDER_SERVICE_URL"

say "a node, and 12 orders; the card of o-7 will be declined"
start_node
for k in $(seq 12); do
  card=tok_$k
  [ "$k" = 7 ] && card=tok_declined
  shop start fulfil-order --id "o-$k" --input "{\"id\":\"o-$k\",\"total\":$((k * 10)).5,\"card\":\"$card\"}" >/dev/null
done
echo "12 orders accepted"

say "kill -9, in the middle"
kill -9 "$node"
wait "$node" 2>/dev/null || true
node=
show list

say "the node again: it finds every step where it was"
start_node
for k in $(seq 12); do shop result "o-$k" --wait >/dev/null 2>&1 || [ $? -eq 1 ]; done
show list

say "one order that went through, and the one that was undone"
show show o-1
show history o-7

say "what the outside saw: at most one effect per idempotency key"
curl -fsS "$ORDER_SERVICE_URL/stats?keys=false"
echo

say "SIGTERM drains the node; then every history is replayed against the store"
kill "$node"
wait "$node"
node=
show verify
