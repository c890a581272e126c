#!/usr/bin/python3
"""A Kafka client that has nothing of pawl's: kafka-python, as Debian's python3-kafka has it. Reads one JSON object from
standard input, {"bootstrap", "topic", "messages": [{"key", "value", "headers", "partition"}]} with key and value in
base64 or null, produces the messages in order to their partitions (0 when there is none; null: as kafka-python has it by the
key), and prints their offsets as a JSON array. With "every" (seconds) it does so again and again until its standard input
is closed: the object is the first line then. For the tests of this folder.
"""
import base64
import json
import select
import sys

from kafka import KafkaProducer


def raw(text):
    return None if text is None else base64.b64decode(text)


def produce(producer, asked):
    sent = [producer.send(asked["topic"], key=raw(m["key"]), value=raw(m["value"]), partition=m.get("partition", 0),
                          headers=[(name, value.encode()) for name, value in m.get("headers", [])]) for m in asked["messages"]]
    producer.flush(60)
    print(json.dumps([future.get(60).offset for future in sent]), flush=True)


def main():
    asked = json.loads(sys.stdin.readline())
    producer = KafkaProducer(bootstrap_servers=asked["bootstrap"].split(","), acks="all", linger_ms=5, max_request_size=9 << 20)
    produce(producer, asked)
    while "every" in asked and not select.select([sys.stdin], [], [], asked["every"])[0]:
        produce(producer, asked)


if __name__ == "__main__":
    main()
