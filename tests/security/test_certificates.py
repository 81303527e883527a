"""Whoever shows a certificate or a proxy that is not theirs, not good or not for this does not get as far as to ask."""

from __future__ import annotations

import socket
import ssl

import pytest
import requests
from cryptography import x509

from central.routes import TABLE
from central.serving.certificate_door import MOST_EACH
from tests import grid
from tests.grid import Authority, Owned, person, proxy
from tests.integration.conftest import CentralMaker
from tests.integration.running_central import until
from tests.security.cast import filled, name_of
from tests.security.certificate_door import LOGIN, PATH, Door, open_door


@pytest.fixture(scope="module")
def door(make_central: CentralMaker, tmp_path_factory: pytest.TempPathFactory) -> Door:
    return open_door(make_central, tmp_path_factory.mktemp("grid"))


@pytest.fixture(scope="module")
def ada(door: Door) -> Owned:
    return door.ca.issue(person("Ada"))


@pytest.fixture(scope="module")
def ben(door: Door) -> Owned:
    return door.ca.issue(person("Ben"))


# -- what OpenSSL turns away -------------------------------------------------------------------------------------------
def test_without_a_certificate(door: Door) -> None:
    """Nobody gets as far as to ask."""
    assert "certificate required" in door.turned_away(None) or "certificate_required" in door.turned_away(None)


def test_proxies_that_are_not_as_they_must_be(door: Door, ada: Owned, ben: Owned) -> None:
    """Times, lengths, names and signatures of proxies are looked at in the handshake."""
    assert "expired" in door.turned_away(proxy(ada, ends=-1))
    assert "expired" in door.turned_away(proxy(proxy(ada, ends=-1)))
    assert "alert" in door.turned_away(proxy(proxy(ada, path_length=0)))
    assert "alert" in door.turned_away(proxy(proxy(proxy(ada, path_length=1))))
    assert door.let_in(proxy(proxy(ada, path_length=1), extension=door.voms(ada))).user == "ada"
    named_otherwise = x509.Name([*ben.certificate.subject.rdns, *grid.name(("CN", "7")).rdns])
    assert "alert" in door.turned_away(proxy(ada, subject=named_otherwise))
    forged = proxy(Owned(ada.certificate, ben.key))
    assert "alert" in door.turned_away(forged)
    assert "expired" in door.turned_away(proxy(door.ca.issue(person("Old"), ends=-1)))


def test_authorities_that_are_not_trusted(door: Door) -> None:
    """An authority of the same name, or one that comes along with the chain, is none."""
    for stranger in (grid.authority(), grid.authority("Other CA")):
        one = stranger.issue(person("Ada"))
        for each in (one, proxy(one), Owned(one.certificate, one.key, (stranger.certificate,))):
            assert "alert" in door.turned_away(each)


def test_certificates_for_something_else(door: Door, ada: Owned) -> None:
    """A server's certificate is no person's, and a person's is no authority's."""
    assert "alert" in door.turned_away(door.server)
    assert "alert" in door.turned_away(proxy(door.server))
    issued = Authority(ada.certificate, ada.key).issue(person("Eve"))  # type: ignore[arg-type]
    assert "alert" in door.turned_away(Owned(issued.certificate, issued.key, (ada.certificate,)))


def test_the_key_of_another(door: Door, ada: Owned, ben: Owned) -> None:
    """Who has a certificate and not its key cannot so much as begin."""
    with pytest.raises((requests.RequestException, OSError)):
        door.show(Owned(ada.certificate, ben.key))


def test_what_has_been_revoked_just_now(door: Door) -> None:
    """A revocation counts from the moment that its list lies there: for the certificate, and for proxies on it. Their
    owner reads so, and so does the operator in the audit."""
    sue = door.ca.issue(person("Sue Revoked"))
    upon = proxy(sue)
    assert door.let_in(upon).group == "cells"
    door.ca.trust(door.folder / "certificates", revoked=(sue.certificate,))
    try:
        for each in (sue, upon, proxy(upon)):
            assert "CN=Sue Revoked by /DC=org/DC=example/CN=Grid CA has been revoked" in door.refused(each)
        assert door.let_in(door.ca.issue(person("Sue Another"))).group == "cells"
    finally:
        door.ca.trust(door.folder / "certificates")
    until(lambda: "has been revoked" in noted(door), "the audit to have it")


def noted(door: Door) -> str:
    return door.central.person("oli").get("/v1/audit?what=refused").text


def test_an_authority_without_a_list(door: Door) -> None:
    """An authority that lists nothing may have revoked anything; so may one whose list is of yesterday."""
    quiet = grid.authority("Quiet CA")
    quiet.trust(door.folder / "certificates", crl=False)
    sue = quiet.issue(person("Sue"))
    for each in (sue, proxy(sue)):
        said = door.refused(each)
        assert "CN=Quiet CA: that authority's revocation list is missing here (unable to get certificate CRL)" in said
    quiet.trust(door.folder / "certificates", fresh_for=-60)
    assert "CN=Quiet CA: that authority's revocation list is out of date (CRL has expired)" in door.refused(sue)
    quiet.trust(door.folder / "certificates")
    assert "which lets nobody in" in door.refused(sue)


def test_a_list_by_somebody_else(door: Door) -> None:
    """A list that the authority has not signed is none."""
    mute, forger = grid.authority("Mute CA"), grid.authority("Mute CA")
    mute.trust(door.folder / "certificates")
    Authority(mute.certificate, forger.key).trust(door.folder / "certificates")
    assert "is not trusted here: CRL signature failure" in door.refused(mute.issue(person("Sue")))


def test_an_authority_of_an_authority_that_was_revoked(door: Door) -> None:
    """Revocation is looked at up to the authority that is trusted, whatever below it still says."""
    below = door.ca.delegate("Lower CA")
    below.trust(door.folder / "certificates")
    sue = below.issue(person("Sue Lower"))
    whole = Owned(sue.certificate, sue.key, (below.certificate,))
    assert "which lets nobody in" in door.refused(whole)
    door.ca.trust(door.folder / "certificates", revoked=(below.certificate,))
    try:
        assert "CN=Lower CA by /DC=org/DC=example/CN=Grid CA has been revoked" in door.refused(proxy(whole))
    finally:
        door.ca.trust(door.folder / "certificates")


def test_lists_are_read_for_nobody_who_forges(door: Door, ada: Owned) -> None:
    """What a trusted authority has not signed is turned away for that: no list is looked for, which can be long, and is
    read before signatures where a handshake reads it."""
    before = len(door.central.words())
    forger = grid.authority()
    forged = forger.issue(person("Sue Forged"), serial=ada.certificate.serial_number)
    door.ca.trust(door.folder / "certificates", revoked=(ada.certificate,))
    try:
        assert "alert" in door.turned_away(forged)
        assert "alert" in door.turned_away(proxy(Owned(ada.certificate, forged.key)))
    finally:
        door.ca.trust(door.folder / "certificates")
    said = door.central.words()[before:]
    assert said.count("why=certificate signature failure") == 2
    assert "why=certificate revoked" not in said


def test_a_chain_without_end(door: Door, ada: Owned) -> None:
    """What is longer than a chain can be is not gone through, and megabytes are not even read."""
    long = ada
    for _ in range(60):
        long = proxy(long)
    assert "alert" in door.turned_away(long) or "reset" in door.turned_away(long)
    huge = proxy(ada, extension=b"\x30" * 10_000_000)
    door.turned_away(huge)
    assert door.let_in(proxy(ada, extension=door.voms(ada))).user == "ada"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_no_session_is_taken_up_again(door: Door, ada: Owned, version: ssl.TLSVersion) -> None:
    """Every handshake looks at the certificate: none is let pass for having been looked at before."""
    context = ssl.create_default_context(cafile=door.central.ca)
    context.minimum_version = context.maximum_version = version
    context.load_cert_chain(proxy(ada, extension=door.voms(ada)).write(door.folder / "mine.pem"))
    session = None
    for _ in range(2):
        with _connected(door) as plain, context.wrap_socket(plain, server_hostname="localhost", session=session) as tls:
            tls.sendall(LOGIN)
            assert b" 201 " in tls.recv(65536)
            assert not tls.session_reused
            session = tls.session


def test_one_look_is_for_one_request(door: Door, ada: Owned) -> None:
    """Who keeps a connection open, to log in when the certificate is revoked, is hung up on after the first answer."""
    context = ssl.create_default_context(cafile=door.central.ca)
    context.load_cert_chain(proxy(ada, extension=door.voms(ada)).write(door.folder / "mine.pem"))
    for ahead in (LOGIN, LOGIN * 3):
        with _connected(door) as plain, context.wrap_socket(plain, server_hostname="localhost") as tls:
            tls.sendall(ahead)
            answered = b""
            while block := tls.recv(65536):
                answered += block
            assert answered.count(b"pilotage_") == 1
            assert b"connection: close" in answered.lower()


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_old_tls(door: Door) -> None:
    """TLS before 1.2 is not spoken."""
    context = ssl.create_default_context(cafile=door.central.ca)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    with _connected(door) as plain, pytest.raises(ssl.SSLError, match="alert"):
        context.wrap_socket(plain, server_hostname="localhost")


def _connected(door: Door) -> socket.socket:
    return socket.create_connection(("localhost", int(door.url.rpartition(":")[2])), 10)


def test_connections_that_say_nothing(door: Door, ada: Owned) -> None:
    """Whoever opens connections at that port and says nothing keeps nobody out, neither there nor at the ordinary one:
    of one address the oldest make way."""
    silent = [_connected(door) for _ in range(MOST_EACH + 20)]
    try:
        assert door.let_in(proxy(ada, extension=door.voms(ada))).user == "ada"
        assert door.central.person("ann").get("/v1/whoami").status_code == 200
        silent[0].settimeout(30)
        assert silent[0].recv(1) == b""
    finally:
        for each in silent:
            each.close()


# -- what else there is at that port: nothing --------------------------------------------------------------------------
def test_nothing_else_is_there(door: Door, ada: Owned) -> None:
    """With whatever certificate, the port has no other route; nor has the ordinary port this one."""
    file = str(proxy(ada, extension=door.voms(ada)).write(door.folder / "shown.pem"))
    token = door.central.person("oli").headers["Authorization"]
    with requests.Session() as session:
        session.trust_env = False
        for route in TABLE:
            answer = session.request(
                route.method,
                door.url + filled(route),
                cert=file,
                verify=door.central.ca,
                headers={"Authorization": str(token)},
                timeout=30,
            )
            assert answer.status_code == 404, name_of(route)
    assert door.central.person("oli").post(PATH, data="{}").status_code == 404
