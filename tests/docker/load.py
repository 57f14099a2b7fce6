"""Requests in a loop until standard input says stop; prints the count and everything that was not right."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import sys
import threading
import time


def main() -> None:
    port, host, workers = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    stop = threading.Event()
    lock = threading.Lock()
    good, bad = 0, []

    def requests(number: int) -> None:
        nonlocal good
        while not stop.is_set():
            try:
                plain = socket.create_connection(("127.0.0.1", port), timeout=20)
                connection = http.client.HTTPConnection(host)
                connection.sock = context.wrap_socket(plain, server_hostname=host)
                for _ in range(25):
                    if number % 2:
                        connection.request("GET", "/api/about", headers={"Host": host})
                    else:
                        body = json.dumps({"title": "under load", "body": "x"})
                        connection.request(
                            "POST", "/api/notes", body=body, headers={"Host": host, "Content-Type": "application/json"}
                        )
                    answer = connection.getresponse()
                    text = answer.read()
                    with lock:
                        if answer.status in (200, 201):
                            good += 1
                        else:
                            bad.append(f"{answer.status} {text[:100]!r}")
                connection.close()
            except (OSError, http.client.HTTPException) as error:
                with lock:
                    bad.append(repr(error))
                time.sleep(0.05)

    threads = [threading.Thread(target=requests, args=(number,), daemon=True) for number in range(workers)]
    for thread in threads:
        thread.start()
    print("started", flush=True)
    sys.stdin.readline()
    stop.set()
    for thread in threads:
        thread.join(30)
    print(json.dumps({"good": good, "lost": len(bad), "bad": bad[:20]}), flush=True)


main()
