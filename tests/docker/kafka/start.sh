#!/bin/sh
# Starts one broker: KAFKA_LOG_DIRS=/data in the environment is log.dirs=/data in its properties, and so on.
set -euf  # -f: Java itself resolves the star in its class path
properties=/tmp/broker.properties
env | grep '^KAFKA_' | while IFS='=' read -r name value; do
  key=$(printf '%s' "${name#KAFKA_}" | tr 'A-Z_' 'a-z.')
  printf '%s=%s\n' "$key" "$value"
done > "$properties"
java='java -Xms128m -Xmx384m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp /opt/kafka/libs/*'
$java kafka.tools.StorageTool format --ignore-formatted --cluster-id "${CLUSTER_ID:-4L6g3nShT-eMCtK--X86sw}" --config "$properties"
exec $java kafka.Kafka "$properties"
