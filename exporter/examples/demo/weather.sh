#!/bin/sh
# A shell collector that reports with nothing but curl: weather.sh EXPORTER_URL UPSTREAM_URL
started=$(date +%s)
status=$(curl -sS -m 3 -o /dev/null -w '%{http_code}' "$2/weather" 2>/dev/null)
took=$(($(date +%s) - started))
if [ "$status" = 200 ]; then
  outcome='"outcome":"success"'
elif [ "$status" = 000 ]; then
  outcome='"outcome":"failure","reason":"connection","stage":"connect"'
else
  outcome="\"outcome\":\"failure\",\"http_status\":$status,\"stage\":\"fetch\""
fi
curl -fsS -m 5 --retry 3 -o /dev/null -H 'Content-Type: application/json' \
  -d "{\"collector\":\"weather\",$outcome,\"duration_seconds\":$took}" "$1/api/v1/outcomes"
