"""A receiver of Coatcheck's callbacks: Python 3.9 or newer, nothing else.

    KEY=whsec_… ACCOUNT=alice PORT=8000 python3 receiver.py

It verifies the signature (Standard Webhooks 1.0, v1), refuses the callbacks of
other accounts, handles each callback once, and answers before it does slow work.
"""

import base64
import hashlib
import hmac
import json
import os
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SECRET = base64.b64decode(os.environ["KEY"].removeprefix("whsec_"), validate=True)
ACCOUNT = os.environ.get("ACCOUNT", "local")  # local, if the server has no users
TOLERANCE = 5 * 60  # seconds
MAX_BODY = 1 << 20
seen = set()  # in earnest: a table with the id as its key


def number(text):
    """Returns a number of at most 12 digits, or None for anything else."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 12 else None


def verify(headers, body):
    """Returns what is wrong, or None. The body is the request's bytes."""
    id, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    seconds = number(timestamp)
    if not id or seconds is None:
        return "no webhook-id or no webhook-timestamp"
    if abs(time.time() - seconds) > TOLERANCE:
        return "too old, or the clocks differ"
    signed = f"{id}.{timestamp}.".encode() + body
    want = base64.b64encode(hmac.new(SECRET, signed, hashlib.sha256).digest()).decode()
    for signature in headers.get("webhook-signature", "").split():
        version, _, value = signature.partition(",")
        if version == "v1" and hmac.compare_digest(value.encode(), want.encode()):
            return None
    return "no signature matches"


class Receiver(BaseHTTPRequestHandler):
    timeout = 10  # seconds, for each read

    def do_POST(self):
        length = number(self.headers.get("content-length", ""))
        if length is None:
            return self.answer(411, "no content-length")
        if length > MAX_BODY:
            return self.answer(413, "too large")
        body = self.rfile.read(length)
        if len(body) < length:
            return  # the caller left in the middle
        if wrong := verify(self.headers, body):
            return self.answer(400, wrong)
        event = json.loads(body)
        if event["data"].get("account") != ACCOUNT:  # one key may sign for all users
            return self.answer(403, f"not of the account {ACCOUNT}")
        if self.headers["webhook-id"] not in seen:
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
