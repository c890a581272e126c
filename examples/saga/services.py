#!/usr/bin/env python3
"""Three booking services for the saga, in one process, each on a port of its own: flights, hotels and cars.

POST /book {"who", "to", "for"}: 200 {"booking"}; 409 where it has none left. POST /cancel {"for", "booking"}: 200, however often.
GET /bookings: what is booked now, and what was asked in which order. The header Idempotency-Key names a request: a repeat gets the
answer of the first. `--none-left cars` lets one of them refuse, `--busy hotels=2` answer the first two requests with 503."""
import argparse
import http.server
import json
import sys
import threading

NAMES = ("flights", "hotels", "cars")


class Service:
    def __init__(self, name, port, none_left, busy):
        self.name, self.none_left, self.busy = name, none_left, busy
        self.bookings, self.answers, self.calls = {}, {}, []
        self.made = 0
        self.lock = threading.Lock()
        service = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self, status, body):
                text = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def do_GET(self):
                with service.lock:
                    self.answer(200, {"bookings": service.bookings, "calls": service.calls})

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
                self.answer(*service.ask(self.path, self.headers.get("Idempotency-Key", ""), body))

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def ask(self, path, key, body):
        with self.lock:
            if self.busy > 0:
                self.busy -= 1
                return 503, {"error": f"{self.name} are busy"}
            if key in self.answers:
                return self.answers[key]
            self.calls.append([path, body["for"]])
            if path == "/book":
                answer = self.book(body)
            else:
                answer = 200, {"cancelled": self.bookings.pop(body["for"], None)}
            if key:
                self.answers[key] = answer
            return answer

    def book(self, body):
        if self.none_left:
            return 409, {"error": f"no {self.name} left to {body['to']}"}
        self.made += 1
        self.bookings[body["for"]] = f"{self.name}-{self.made}"
        return 200, {"booking": self.bookings[body["for"]]}


def main():
    options = argparse.ArgumentParser(description="Three booking services for the saga")
    options.add_argument("--port", type=int, default=8080, help="of flights; hotels and cars have the next two; 0: any that are free")
    options.add_argument("--none-left", choices=NAMES, action="append", default=[])
    options.add_argument("--busy", action="append", default=[], metavar="NAME=N")
    asked = options.parse_args()
    busy = dict(entry.split("=") for entry in asked.busy)
    services = [Service(name, asked.port + n if asked.port else 0, name in asked.none_left, int(busy.get(name, 0)))
                for n, name in enumerate(NAMES)]
    print(json.dumps({s.name: s.address for s in services}), flush=True)
    sys.stdin.read()  # until whoever started it goes


if __name__ == "__main__":
    main()
