#!/bin/sh
# examples/kafka/topics.sh BROKERS [PARTITIONS]    makes the topics of the example, if they are not there
#
# KAFKA_TOPICS is Kafka's own tool (default: where its container image has it). REPLICAS (default 1) copies of each partition:
# 3 where records must survive a broker. Predictions need as many partitions as the input. flexihash makes missing topics of
# results by itself; who wants to decide about copies and retention makes them first.
set -eu
[ $# -ge 1 ] || { echo "usage: examples/kafka/topics.sh BROKERS [PARTITIONS]" >&2; exit 1; }
brokers=$1
partitions=${2:-4}
make_topic() {
    name=$1
    count=$2
    shift 2
    "${KAFKA_TOPICS:-/opt/kafka/bin/kafka-topics.sh}" --bootstrap-server "$brokers" --create --if-not-exists \
        --topic "$name" --partitions "$count" --replication-factor "${REPLICAS:-1}" "$@"
}
make_topic clicks "$partitions" --config retention.ms=604800000
make_topic clicks-scored "$partitions" --config retention.ms=604800000
make_topic clicks-dead "$partitions" --config retention.ms=2592000000
# One key a model, kept for ever: what counts is the newest of each.
make_topic flexihash-commits 1 --config cleanup.policy=compact --config segment.bytes=16777216 \
    --config segment.ms=600000 --config min.cleanable.dirty.ratio=0.1
