"""What a login by an ID token costs: `python -m bench.logins`, and at the end of `bench.authentication`.

First the ID token alone, with the provider's keys known: its signature and what it says, in this process. Then the
whole exchange at a central on this machine (HTTPS, one connection, one login after another): CPU of the central's
process and time until the answer, for people who come for the first time, whose membership is written too, and for the
same people again. Everybody who may work here is read anew after each, so it takes the longer, the more are let in.
"""

from __future__ import annotations

import statistics
import time

import requests
from joserfc import jwk

from bench import report
from central.login.id_tokens import Expected, keys_of, verify
from tests.security.loopback_provider import LoopbackProvider, public, signed
from tests.system import Plan, System

RUNS, TOKENS = 7, 2000
PEOPLE = 200
LOGIN = """
[login]
issuer = "{issuer}"
client_id = "pilotage"
loopback_http = true
rules = [{{value = "/muons", community = "physics", group = "users"}}]
"""


def main() -> None:
    provider = LoopbackProvider()
    with provider.serving():
        rows = [_verified(provider, "RS256", provider.key)]
        rows.append(_verified(provider, "ES256", jwk.ECKey.generate_key("P-256", {"kid": "second"})))
        heads = ("ID token, keys known", "CPU, µs", "least", "greatest")
        report.table(f"A login's ID token, {RUNS} runs of {TOKENS:,}", heads, rows)
        heads = ("the whole exchange", "CPU of the central, ms", "time, median ms", "95 % within, ms")
        report.table(f"Logins one after another, {PEOPLE} people", heads, _exchanged(provider))


def _verified(provider: LoopbackProvider, algorithm: str, key: jwk.Key) -> tuple[object, ...]:
    header = {"alg": algorithm, "kid": key.as_dict(private=False)["kid"]}
    tokens = [signed(header, provider.claims(sub=f"u{at}"), key) for at in range(TOKENS)]
    keys = keys_of({"keys": [public(key)]})
    expected = Expected(provider.issuer, "pilotage", None)
    spent = []
    for _ in range(RUNS):
        now, began = time.time(), time.process_time()
        for token in tokens:
            verify(token, keys, expected, now)
        spent.append((time.process_time() - began) * 1e6 / TOKENS)
    return (algorithm, *report.spread(spent, ".0f"))


def _exchanged(provider: LoopbackProvider) -> list[tuple[object, ...]]:
    with report.fresh_system(Plan(queue=LOGIN.format(issuer=provider.issuer))) as system:
        return [_logged_in(system, provider, who) for who in ("people who are new", "the same people again")]


def _logged_in(system: System, provider: LoopbackProvider, who: str) -> tuple[object, ...]:
    tokens = [provider.token(sub=f"u{at}") for at in range(PEOPLE)]
    assert system.process
    with requests.Session() as session:
        session.trust_env, session.verify = False, str(system.folder / "ca.pem")
        session.get(f"{system.url}/v1/login").raise_for_status()  # the provider's keys are read before
        before = report.cpu(system.process.pid)
        times = [_exchange(session, system.url, token) for token in tokens]
        used = (report.cpu(system.process.pid) - before).own
    p95 = statistics.quantiles(times, n=20)[-1]
    return (who, f"{used * 1e3 / PEOPLE:.1f}", f"{statistics.median(times):.1f}", f"{p95:.1f}")


def _exchange(session: requests.Session, url: str, token: str) -> float:
    """Log in; milliseconds."""
    began = time.perf_counter()
    session.post(f"{url}/v1/login", json={"id_token": token}).raise_for_status()
    return (time.perf_counter() - began) * 1e3


if __name__ == "__main__":
    main()
