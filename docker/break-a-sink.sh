#!/bin/sh
# Breaks a sink of compose.yaml on purpose, and says what to watch. Needs curl, and docker compose.
#
#   docker/break-a-sink.sh lose      a change never reaches sink-a, and nothing of Connect shows it
#   docker/break-a-sink.sh hide      the same, too fast for the verifier's probe to see whose hand it was
#   docker/break-a-sink.sh refuse    sink-b can't read a record and puts it on its dead letter topic
#   docker/break-a-sink.sh stop      sink-a stands still: lag, which is no loss
#   docker/break-a-sink.sh undo      sink-a reads everything again from the beginning, and goes on
set -eu

looks=10 # seconds: several looks of the verifier's probe, one every 2 s (verifier.probe_interval)
connect="http://localhost:${CONNECT_PORT:-8083}"
topic=shop.public.orders
compose="${COMPOSE:-docker compose} --file $(dirname "$0")/compose.yaml"

# call METHOD PATH [JSON]: ask Connect; what it refuses is printed, and ends the script.
call() {
  curl --silent --show-error --fail-with-body --request "$1" --header 'Content-Type: application/json' ${3:+--data "$3"} "$connect$2"
}

# is_state STATE: wait until sink-a is RUNNING or PAUSED with its task, or STOPPED with no task left, at most a minute.
is_state() {
  for _ in $(seq 60); do
    status=$(call GET /connectors/sink-a/status | tr -d ' \n')
    case "$1:$status" in
      STOPPED:*'"connector":{"state":"STOPPED"'*'"tasks":[]'*) return ;;
      RUNNING:*'"tasks":[{"id":0,"state":"RUNNING"'* | PAUSED:*'"tasks":[{"id":0,"state":"PAUSED"'*) return ;;
    esac
    sleep 1
  done
  echo "sink-a is not $1 after a minute: $status" >&2
  exit 1
}

# committed: the next offset that sink-a would read of $topic; nothing where it has committed none.
committed() {
  call GET /connectors/sink-a/offsets | tr -d ' \n' | tr '{' '\n' | grep -A1 "\"kafka_topic\":\"$topic\"" |
    sed -n 's/.*"kafka_offset":\([0-9]*\).*/\1/p'
}

# log_end: the offset that the next change of $topic will have; fails where the broker does not tell.
log_end() {
  told=$($compose exec -T kafka /opt/kafka/bin/kafka-get-offsets.sh --bootstrap-server kafka:9092 --topic "$topic" --partitions 0 </dev/null) ||
    return 1
  echo "${told##*:}" | grep -x '[0-9][0-9]*'
}

# is_written END: wait until a change stands at END of $topic, some twenty looks of a few seconds.
is_written() {
  for _ in $(seq 20); do
    end=$(log_end) && [ "$end" -gt "$1" ] && return
    sleep 1
  done
  return 1
}

pause() {
  call PUT /connectors/sink-a/pause
  is_state PAUSED
}

stop() {
  call PUT /connectors/sink-a/stop
  is_state STOPPED
}

resume() {
  call PUT /connectors/sink-a/resume
  is_state RUNNING
}

order() {
  $compose exec -T postgres psql --quiet --tuples-only --no-align --username=postgres --dbname=shop --command="$1" </dev/null
}

# give_up REASON: let sink-a go on as it was, and end the script.
give_up() {
  resume
  echo "$1" >&2
  exit 1
}

# skip_one SECONDS: move sink-a over the next change of $topic while it is stopped, SECONDS after it stopped and before it goes on.
#
# The change must stand in the topic before sink-a is moved behind it: a sink that goes on beyond the log's end is out of range,
# reads everything again from the beginning, and loses nothing. While that is waited for, sink-a is paused and not stopped yet: it reads
# nothing, but is still in its group, so that what the probe sees begins with the stop.
skip_one() {
  pause
  before=$(log_end) || give_up "Kafka does not tell how far $topic goes: nothing was broken"
  order 'SELECT place_order()' >/dev/null || give_up "no order could be placed: nothing was broken" # whatever the customers do
  is_written "$before" ||
    give_up "an order was placed, and no change of it came to $topic: nothing was broken. Does the connector shop-source run?"
  stop
  next=$(committed)
  [ -n "$next" ] || give_up "sink-a has not committed anything of $topic yet: try again"
  sleep "$1"
  partition="{\"kafka_topic\": \"$topic\", \"kafka_partition\": 0}"
  call PATCH /connectors/sink-a/offsets \
    "{\"offsets\": [{\"partition\": $partition, \"offset\": {\"kafka_offset\": $((next + 1))}}]}"
  echo
  sleep "$1"
  resume
  cat <<END

Somebody moved sink-a past offset $next of $topic, partition 0: it never reads that change. Connect says RUNNING, its lag
goes to 0, its dead letter topic has nothing, and a row of sink_a.orders is missing or old.

The customers may change that order again: sink-a then writes the whole row, and the change is superseded, often within a minute.
Who wants to look longer stops them first: docker compose --file docker/compose.yaml stop customers
END
}

lose() {
  skip_one $looks
  cat <<END

The verifier saw progress move while nobody was there to work, and wrote a SKIP. Watch for, within about 20 seconds:
  verdict  missing, of sink-a, $topic:0:$next
  metric   cdc_verifier_bad_cells{sink="sink-a", topic="$topic"} is 1, and cdc_verifier_skipped_offsets_total
  alert    CdcVerifierBadCells with state missing, and CdcVerifierOffsetsMoved
Undo: $0 undo
END
}

hide() {
  skip_one 0
  cat <<END

It went too fast to be proved by offsets, unless the probe happened to look just then: the sink itself may have committed
that on its way out. Its rows prove it: the verifier reads them back before it fences. Watch for, within about 30 seconds:
  verdict  missing, of sink-a, $topic:0:$next (unless a newer change of that order has arrived since)
  metric   cdc_verifier_bad_cells{sink="sink-a", topic="$topic"} is 1, and cdc_verifier_read_back_rows_total{state="absent"}
  alert    CdcVerifierBadCells with state missing
Undo: $0 undo
END
}

refuse() {
  echo 'no Avro' | $compose exec -T kafka /opt/kafka/bin/kafka-console-producer.sh --bootstrap-server kafka:9092 --topic shop.public.notes
  cat <<END

A record that nobody can read stands on shop.public.notes. sink-b puts it on dlq.sink-b and goes on.

Watch for, within about 20 seconds after the next change of shop.public.notes, with which sink-b commits that it passed this one
(the customers make one every two seconds; if they are stopped, it does not come):
  verdict  rejected, of sink-b, with Connect's error, on cdc-verifier.verdicts
  metric   cdc_verifier_bad_cells{sink="sink-b", topic="shop.public.notes"} is 1
  alert    CdcVerifierBadCells with state rejected
No undo: it can't be repaired. cdc-verifier waive settles it (docs/docker.md).
END
}

stand_still() {
  stop
  cat <<END

sink-a reads no more. It is behind, and nothing is lost.

Watch for, as long as you like:
  verdict  none: its cells are pending, however old they get
  metric   cdc_verifier_verified_lag_seconds and cdc_verifier_open_cell_age_seconds{sink="sink-a"} rise
  alert    CdcVerifierSinkLags after 6 minutes, CdcVerifierProofIsLate after 11
Undo: $0 undo
END
}

undo() {
  stop
  call DELETE /connectors/sink-a/offsets
  echo
  resume
  cat <<END

sink-a reads every topic again from the beginning. It upserts by key, so in the end it holds what the source holds.
Rows that were found bad are read back again every minute. Watch for, of a change that was missing, within about two minutes:
  verdict  delivered, with the flag recovered (superseded, if a newer change of that order has arrived since)
  metric   cdc_verifier_bad_cells{sink="sink-a", topic="$topic"} is 0 again
  alert    CdcVerifierBadCells clears; CdcVerifierOffsetsMoved stays until an hour has passed since the offsets were moved
END
}

case "${1:-}" in
  lose) lose ;;
  hide) hide ;;
  refuse) refuse ;;
  stop) stand_still ;;
  undo) undo ;;
  *) sed -n '2,8s/^# \{0,1\}//p' "$0" && exit 2 ;;
esac
