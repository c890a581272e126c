#!/usr/bin/python3
"""Prints what a topic holds as JSON lines {"partition", "offset", "key", "headers", "value"}, up to where it ends now.

    kafka_events_reader.py BOOTSTRAP TOPIC

A client that has nothing of pawl's: kafka-python, as Debian's python3-kafka has it. For the tests of this folder."""
import json
import sys

from kafka import KafkaConsumer, TopicPartition


def main(bootstrap, topic):
    consumer = KafkaConsumer(bootstrap_servers=bootstrap.split(","), enable_auto_commit=False, auto_offset_reset="earliest")
    partitions = [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic))]
    consumer.assign(partitions)
    ends = consumer.end_offsets(partitions)
    consumer.seek_to_beginning()
    while any(consumer.position(p) < ends[p] for p in partitions):
        for messages in consumer.poll(timeout_ms=200).values():
            for m in messages:
                print(json.dumps({"partition": m.partition, "offset": m.offset, "key": m.key.decode(),
                                  "headers": [[name, value.decode()] for name, value in m.headers], "value": m.value.decode()}))
    consumer.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
