"""A receiver of Coatcheck's callbacks: Python 3.9 or newer, nothing else.

    KEY=whsec_… PORT=8000 python3 receiver.py

It verifies the signature (Standard Webhooks 1.0, v1), handles each callback
once, and answers before it does slow work.
"""

import base64
import hashlib
import hmac
import json
import os
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SECRET = base64.b64decode(os.environ["KEY"].removeprefix("whsec_"), validate=True)
TOLERANCE = 5 * 60  # seconds
MAX_BODY = 1 << 20
seen = set()  # in earnest: a table with the id as its key


def verify(headers, body):
    """Returns what is wrong, or None. The body is the request's bytes."""
    id, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not id or not timestamp.isdigit():
        return "no webhook-id or no webhook-timestamp"
    if abs(time.time() - int(timestamp)) > TOLERANCE:
        return "too old, or the clocks differ"
    signed = f"{id}.{timestamp}.".encode() + body
    want = base64.b64encode(hmac.new(SECRET, signed, hashlib.sha256).digest()).decode()
    for signature in headers.get("webhook-signature", "").split():
        version, _, value = signature.partition(",")
        if version == "v1" and hmac.compare_digest(value.encode(), want.encode()):
            return None
    return "no signature matches"


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        length = int(self.headers.get("content-length", 0))
        if length > MAX_BODY:
            return self.answer(413, "too large")
        body = self.rfile.read(length)
        if wrong := verify(self.headers, body):
            return self.answer(400, wrong)
        if self.headers["webhook-id"] not in seen:
            event = json.loads(body)
            job = event["data"].get("job", {})
            print(event["type"], job.get("id"), job.get("output"), flush=True)
            seen.add(self.headers["webhook-id"])
        self.answer(204)

    def answer(self, status, text=""):
        self.send_response(status)
        if text:
            self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "8000"))), Receiver)
    print(f"Receiving at http://127.0.0.1:{server.server_port}/", flush=True)
    server.serve_forever()
