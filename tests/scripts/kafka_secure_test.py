#!/usr/bin/env python3
# label: full
# needs: bad_steps
# timeout: 120
"""A node whose brokers ask for TLS and a password, which is shown nowhere."""
import os
import tempfile
import unittest

from kafka_broker import PASSWORD, USER, Kafka
from pawl_node import Node, eventually


class KafkaSecure(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="pawl-kafka-secure-")
        cls.addClassCleanup(cls.folder.cleanup)
        cls.kafka = Kafka(os.path.join(cls.folder.name, "kafka"), secure=True)
        cls.addClassCleanup(cls.kafka.close)

    def node(self, name, password=PASSWORD, **properties):
        given = {"security.protocol": "SASL_SSL", "ssl.ca.location": str(self.kafka.certificate), "sasl.mechanism": "PLAIN",
                 "sasl.username": USER, **properties}
        config = os.path.join(self.folder.name, name + ".toml")
        with open(config, "w") as file:
            file.write(f'[kafka]\nbrokers = "{self.kafka.secure_bootstrap}"\nnamespace = "{name}"\ndurability = "single-broker"\npartitions = 1\n')
            file.write("[kafka.properties]\n" + "".join(f'{key} = "{value}"\n' for key, value in given.items()))
        environment = {"PAWL_KAFKA_PROPERTIES_SASL_PASSWORD": password} if password else {}
        return Node("bad_steps", os.path.join(self.folder.name, name), environment, ["--config", config],
                    log=os.path.join(self.folder.name, name + ".log"))

    def test_a_workflow_over_tls_with_a_password(self):
        node = self.node("good")
        with node.start():
            self.assertEqual(node.cli("topics", "check")[0], 0)
            self.assertEqual(node.begin("sleeps", "w", {"ms": 1})[0], 201)
            eventually(lambda: node.result("w", wait_ms=2000)[0] == 200, "it ends")
            shown = [node.cli("config", "show"), node.cli("-o", "json", "config", "show"), node.cli("config", "show", "--running"),
                     node.cli("-o", "json", "config", "show", "--running")]
            for code, out, err in shown:
                self.assertEqual(code, 0, err)
                self.assertIn("kafka.properties.sasl.password", out)
                self.assertIn("***", out)
                self.assertNotIn(PASSWORD, out + err)
                self.assertNotIn(USER + "\n", out)
            self.assertIn("PAWL_KAFKA_PROPERTIES_SASL_PASSWORD", shown[0][1])
            self.assertEqual(node.drain(), 0, node.tail())
        self.assertNotIn(PASSWORD, node.tail())

    def test_a_wrong_password_and_no_trust(self):
        # "probe" is what the machine trusts, which this certificate is not.
        for node in (self.node("password", password="not-the-one-4712"), self.node("trust", **{"ssl.ca.location": "probe"})):
            code, out, err = node.cli("topics", "check")
            self.assertIn(code, (1, 5), out + err)
            for secret in ("not-the-one-4712", PASSWORD):
                self.assertNotIn(secret, out + err)

    def test_mistakes_say_everything_but_the_value(self):
        code, out, err = self.node("mistakes", **{"sasl.pasword": "hunter2", "acks": "0", "security.protocol": "hunter3"}).cli("topics", "check")
        self.assertEqual(code, 2, out + err)
        self.assertIn("mistakes.toml", err)
        self.assertIn("kafka.properties.sasl.pasword: librdkafka has no such property. Did you mean sasl.password?", err)
        self.assertIn("kafka.properties.acks: pawl sets this property itself", err)
        self.assertIn("kafka.properties.security.protocol: librdkafka does not take this value", err)
        self.assertNotIn("hunter", out + err)


if __name__ == "__main__":
    unittest.main(verbosity=2)
