"""Runs on a virtual machine, again after each of its boots: fetches pilot.pyz, checks its SHA-256, becomes the pilot.

Standard library only, and Python 3.6 must understand it, so that one that is too old can say so. It travels with each
machine: short names and no comments below this line.
"""

import hashlib
import json
import os
import ssl
import sys
import time
import urllib.request

os.umask(0o77)
os.chdir(os.path.dirname(os.path.abspath(__file__)))
with open("boot.json") as told:
    boot = json.load(told)
os.environ.update(boot["environment"])
trust = ssl.create_default_context(cadata=boot["ca"] or None)
why, until, most = "", time.monotonic() + boot["patience"], 1 << 26


def end(code: int, why: str) -> None:
    head = {"Authorization": "Ticket " + boot["ticket"], "Content-Type": "application/octet-stream"}
    for url in boot["config"]["central"] if boot["ticket"] else ():
        boot_log = "/".join((url, "v1/logs", boot["config"]["stamp"], "boot?offset=0"))
        try:
            ask = urllib.request.Request(boot_log, why.encode(), head, method="PUT")
            urllib.request.urlopen(ask, timeout=20, context=trust).close()
            break
        except (OSError, ValueError):
            pass
    print(why)
    sys.exit(code)


def good(name: str) -> bool:
    if not os.path.exists(name):
        return False
    with open(name, "rb") as file:
        return hashlib.sha256(file.read(most)).hexdigest() == str(boot["sha256"])


if sys.version_info < (3, 9):
    end(90, "expected Python 3.9 or newer on the machine, got " + sys.version)
while not good("pilot.pyz"):
    for url in boot["urls"]:
        try:
            with urllib.request.urlopen(url, timeout=60, context=trust) as answer, open("part", "wb") as part:
                part.write(answer.read(most))
            if good("part"):
                os.replace("part", "pilot.pyz")
                break
            why = url + ": what is there has another SHA-256"
        except (OSError, ValueError) as error:
            why = url + ": " + str(error)
    else:
        if time.monotonic() > until:
            end(91, "pilot.pyz could not be had: " + why)
        time.sleep(5)
for name, text in (("ca.pem", boot["ca"]), ("ticket", boot["ticket"]), ("pilot.json", json.dumps(boot["config"]))):
    with open(name, "w") as target:
        target.write(text)
os.execv(sys.executable, [sys.executable, "-I", "pilot.pyz", "run", "--config", "pilot.json"])
