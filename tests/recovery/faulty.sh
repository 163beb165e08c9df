# What the recovery actions of the fault-injection suite do: faulty.sh FOLDER rerun|restart|revive
set -e
cd "$1"
name=$COLLECTION_HEALTH_COLLECTOR
case $2 in
  rerun) kill -USR1 "$(cat "$name.pid")" ;;
  restart)
    kill -KILL "$(cat "$name.pid" 2>/dev/null)" 2>/dev/null || true
    setsid sh "$name.sh" </dev/null >>"$name.log" 2>&1 &
    ;;
  revive)
    setsid sh "$name.upstream.sh" </dev/null >>"$name.log" 2>&1 &
    ;;
esac
