"""VOMS attributes: which attribute certificates count, and what is said of those that do not."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from central.configuration.certificates import CertificateLogin
from central.login import attributes
from central.login.attributes import Unsound
from central.login.voms import Trust, trust_of, verify
from tests import grid
from tests.grid import HOUR, Attributes, Owned, attribute_certificate, extension_field, in_proxy, person, tlv

CA = grid.authority()
SERVER_NAME = grid.name(("DC", "org"), ("DC", "example"), ("OU", "hosts"), ("CN", "voms.example.org"))
SERVER = CA.issue(SERVER_NAME)
ADA, BEN = CA.issue(person("Ada Lovelace")), CA.issue(person("Ben"))
NAMES = ["/DC=org/DC=example/OU=hosts/CN=voms.example.org", "/DC=org/DC=example/CN=Grid CA"]


def names(vo: str, host: str) -> Sequence[Sequence[str]]:
    """What the sites of this grid know of VOMS servers."""
    return [NAMES] if (vo, host) == ("physics", "voms.example.org") else []


def chain(certificates: Sequence[x509.Certificate]) -> Sequence[x509.Certificate]:
    return [certificates[0], CA.certificate]


TRUST = Trust(names, chain, ("central.example.org",))


def counts(der: bytes, holder: Owned = ADA, trust: Trust = TRUST) -> tuple[str, ...]:
    """The attributes of one that counts. Raises `Unsound`."""
    found = attributes.read(der)
    verify(found, holder.certificate, trust, time.time())
    return found.fqans


def why_not(der: bytes, holder: Owned = ADA, trust: Trust = TRUST) -> str:
    with pytest.raises(Unsound) as caught:
        counts(der, holder, trust)
    return str(caught.value)


def made(said: Attributes = grid.PLAIN, holder: Owned = ADA, server: Owned = SERVER) -> bytes:
    return attribute_certificate(holder.certificate, server, said)


def test_one_that_is_as_it_should_be() -> None:
    """Its attributes are told in their order, without what means nothing."""
    fqans = ("/physics/Role=NULL/Capability=NULL", "/physics/muons/Role=admin/Capability=NULL", "/physics")
    assert counts(made(Attributes(fqans=fqans))) == ("/physics", "/physics/muons/Role=admin")


def test_a_holder_by_the_own_name() -> None:
    """Servers write the holder's name where the issuer's belongs: with the serial number, that is good as well."""
    assert counts(made(Attributes(holder=ADA.certificate.subject)))


def test_rsa() -> None:
    """A server may have a key of RSA, from 2048 bits on."""
    server = CA.issue(SERVER_NAME, key=rsa.generate_private_key(65537, 2048))
    assert counts(made(Attributes(algorithm=grid.RSA_SHA256), server=server))
    weak = CA.issue(SERVER_NAME, key=rsa.generate_private_key(65537, 1024))
    assert "1024 bits" in why_not(made(Attributes(algorithm=grid.RSA_SHA256), server=weak))
    assert "does not count here" in why_not(made(Attributes(algorithm=grid.RSA_SHA1), server=server))


@pytest.mark.parametrize(
    ("said", "says"),
    [
        (Attributes(holder=BEN.certificate.subject), "given to another certificate"),
        (Attributes(serial=BEN.certificate.serial_number), "given to another certificate"),
        (Attributes(begins=HOUR), "not good yet"),
        (Attributes(begins=-2 * HOUR, ends=-1), "has ended"),
        (Attributes(version=0), "another version"),
        (Attributes(signer=ec.generate_private_key(ec.SECP256R1())), "a signature that its server did not make"),
        (Attributes(issuer=person("Ben")), "another server than the one whose certificate"),
        (Attributes(certificates=(ADA.certificate,)), "another server than the one whose certificate"),
        (Attributes(certificates=()), "carries 0 certificates"),
        (Attributes(algorithm=grid.RSA_SHA256), "is signed with 1.2.840.113549.1.1.11"),
        (Attributes(algorithm_outside="1.2.840.10045.4.3.3"), "two algorithms"),
        (Attributes(authority="chemistry://voms.example.org:15000"), "an attribute of another: '/physics'"),
        (Attributes(fqans=("/physics", "/physics2")), "an attribute of another: '/physics2'"),
        (Attributes(fqans=("/physics", "/chemistry/Role=admin")), "an attribute of another"),
        (Attributes(authority="physics://evil.example.org:1"), "not known here as a server of the VO physics"),
        (Attributes(authority="../physics://voms.example.org:1"), "does not name its VO"),
        (Attributes(authority="physics://../x:1"), "does not name its VO"),
        (Attributes(authority="physics"), "does not name its VO"),
        (Attributes(fqans=("physics",)), "an attribute that is none"),
        (Attributes(fqans=("/physics/Role=a/Role=b",)), "an attribute that is none"),
        (Attributes(fqans=("/physics/*",)), "an attribute that is none"),
        (Attributes(fqans=("/physics\n/physics/Role=admin",)), "an attribute that is none"),
        (Attributes(fqans=("/physics/Capability=x",)), "an attribute that is none"),
        (Attributes(fqans=("/physics/" + "x" * 10_000,)), "an attribute that is none"),
        (Attributes(fqans=("/physics",) * 501), "has 501 attributes"),
        (Attributes(attributes=b""), "has 0 sets of VOMS attributes"),
        (Attributes(revocable=True), "noRevAvail"),
        (Attributes(more=(extension_field("1.2.3.4", b"\x05\x00", critical=True),)), "critical extension 1.2.3.4"),
        (Attributes(more=(extension_field(grid.NO_REVOCATION, b"\x05\x00"),)), "the extension 2.5.29.56 twice"),
        (Attributes(targets=("other.example.org",)), "meant for other hosts: other.example.org"),
        (Attributes(targets=()), "meant for other hosts"),
    ],
)
def test_one_thing_wrong(said: Attributes, says: str) -> None:
    """With any one thing wrong it counts for nothing, and the sentence says which."""
    assert says in why_not(made(said))


def test_of_another_owner() -> None:
    """One that was copied into somebody else's proxy counts for nothing."""
    assert "given to another certificate" in why_not(made(), BEN)


def test_targets() -> None:
    """One that is meant for this central counts, whatever case its name is in."""
    assert counts(made(Attributes(targets=("other.example.org", "Central.Example.org"))))
    assert counts(made(Attributes(targets=("https://central.example.org/",))))


def test_an_extension_that_nobody_has_to_know() -> None:
    """Tags, and what is unknown and not critical, change nothing."""
    assert counts(made(Attributes(more=(extension_field("1.3.6.1.4.1.8005.100.100.11", b"\x30\x00"),))))


def test_a_server_that_its_vo_does_not_have() -> None:
    """A host with a certificate of a trusted authority is no server of a VO by that: the names are compared."""
    thief = CA.issue(grid.name(("DC", "org"), ("DC", "example"), ("OU", "hosts"), ("CN", "thief.example.org")))
    assert "is no server of the VO physics" in why_not(made(server=thief))
    other = grid.authority("Other CA")
    same_name = other.issue(SERVER_NAME)
    trust = replace(TRUST, chain=lambda certificates: [certificates[0], other.certificate])
    assert "of /DC=org/DC=example/CN=Other CA, which is no server" in why_not(made(server=same_name), trust=trust)


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
def test_any_byte_changed() -> None:
    """Whatever byte of one is another, it counts for nothing."""
    good = made()
    assert counts(good)
    for at in range(len(good)):
        for bit in (0x01, 0x80):
            bad = bytearray(good)
            bad[at] ^= bit
            with pytest.raises(Unsound):
                counts(bytes(bad))


def test_cut_and_lengthened() -> None:
    """Nothing may lack, and nothing come behind."""
    good = made()
    for bad in (good[:-1], good + b"\0", good[:40], b"", b"\x30\x80" + good[4:] + b"\0\0"):
        with pytest.raises(Unsound):
            counts(bad)


@pytest.mark.parametrize("tag", [0x30, 0x31, 0xA0, 0x24])
def test_nested_without_end(tag: int) -> None:
    """Depth costs nothing: what has another form than expected is not gone into."""
    deep = b""
    for _ in range(20_000):
        deep = tlv(tag, deep) if len(deep) < 100_000 else deep
    for extension in (deep, in_proxy(deep), in_proxy(made(Attributes(attributes=deep)))):
        with pytest.raises(Unsound):
            [counts(der) for der in attributes.split(extension)]


def test_too_large() -> None:
    """What is too large is not read."""
    with pytest.raises(Unsound, match="more than 131072 bytes"):
        attributes.split(in_proxy(b"\x30" * 10_000_000))
    with pytest.raises(Unsound, match="is 11 attribute certificates"):
        attributes.split(in_proxy(*[made()] * 11))
    with pytest.raises(Unsound, match="is 0 attribute certificates"):
        attributes.split(in_proxy())


def test_several_in_one_proxy() -> None:
    """Each is read by itself."""
    good, bad = made(), made(Attributes(ends=-1))
    assert attributes.split(in_proxy(good, bad)) == (good, bad)


# -- what lies on a machine --------------------------------------------------------------------------------------------
@pytest.fixture
def site(tmp_path: Path) -> CertificateLogin:
    """A machine of the grid: authorities, revocation lists, names of VOMS servers."""
    CA.trust(tmp_path / "certificates")
    (tmp_path / "vomsdir/physics").mkdir(parents=True)
    (tmp_path / "vomsdir/physics/voms.example.org.lsc").write_text("# ours\n" + "\n".join(NAMES) + "\n")
    return CertificateLogin(1, (), capath="certificates", vomsdir="vomsdir").inside(tmp_path)


def test_as_it_lies_on_a_machine(site: CertificateLogin) -> None:
    """Authorities, lists and names are taken from the folders that all software of the grid has."""
    assert counts(made(), trust=trust_of(site, ("central.example.org",)))


def test_authorities_that_are_not_trusted(site: CertificateLogin) -> None:
    """The server's certificate has to lead to an authority of the folder, whatever certificates are carried along."""
    stranger = grid.authority()
    server = stranger.issue(SERVER_NAME)
    said = Attributes(certificates=(server.certificate, stranger.certificate))
    assert "not trusted here" in why_not(made(said, server=server), trust=trust_of(site, ()))


def test_a_server_that_was_revoked(site: CertificateLogin) -> None:
    """A server's certificate that its authority has revoked signs nothing any more."""
    CA.trust(Path(site.capath), (SERVER.certificate,))
    assert "certificate revoked" in why_not(made(), trust=trust_of(site, ()))


def test_lists_are_read_once_for_one_login(site: CertificateLogin) -> None:
    """Whoever carries many attribute certificates has the same list read once; the next login reads it anew."""
    trust = trust_of(site, ())
    assert counts(made(), trust=trust)
    CA.trust(Path(site.capath), (SERVER.certificate,))
    assert counts(made(), trust=trust)
    assert "certificate revoked" in why_not(made(), trust=trust_of(site, ()))


def test_a_list_that_is_missing(site: CertificateLogin) -> None:
    """Without the authority's list nobody knows, and so it does not count; unless the settings leave lists out."""
    for path in Path(site.capath).glob("*.r0"):
        path.unlink()
    assert "unable to get certificate CRL" in why_not(made(), trust=trust_of(site, ()))
    assert counts(made(), trust=trust_of(replace(site, crls=False), ()))


def test_one_file_with_all_authorities(site: CertificateLogin, tmp_path: Path) -> None:
    """Authorities and their lists may lie in one file."""
    (tmp_path / "all.pem").write_bytes(b"".join(path.read_bytes() for path in sorted(Path(site.capath).iterdir())))
    one = replace(site, capath="", cafile=str(tmp_path / "all.pem"))
    assert counts(made(), trust=trust_of(one, ()))
    CA.trust(tmp_path / "again", (SERVER.certificate,))
    (tmp_path / "all.pem").write_bytes(b"".join(path.read_bytes() for path in sorted((tmp_path / "again").iterdir())))
    assert "certificate revoked" in why_not(made(), trust=trust_of(one, ()))


def test_a_server_whose_certificate_has_ended(site: CertificateLogin) -> None:
    """The server's certificate is good now."""
    server = CA.issue(SERVER_NAME, ends=-HOUR)
    assert "certificate has expired" in why_not(made(server=server), trust=trust_of(site, ()))


def test_a_proxy_that_signs(site: CertificateLogin) -> None:
    """A proxy of the server's certificate is no server."""
    server = grid.proxy(SERVER)
    assert "not trusted here" in why_not(made(server=server), trust=trust_of(site, ()))


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("\n".join(NAMES), True),
        ("/CN=old\n/CN=old CA\n------ NEXT CHAIN ------\n" + "\n".join(NAMES), True),
        ("\n".join((*NAMES, NAMES[1])), True),
        ("\n".join((*NAMES, "/CN=Root")), False),
        (NAMES[0], False),
        ("\n".join(reversed(NAMES)), False),
        ("", False),
        ("\n".join((NAMES[0], "/CN=Other CA")), False),
    ],
)
def test_files_of_names(site: CertificateLogin, text: str, good: bool) -> None:
    """A file names the server and its authorities, in their order; several such lists are alternatives."""
    (Path(site.vomsdir) / "physics/voms.example.org.lsc").write_text(text)
    if good:
        assert counts(made(), trust=trust_of(site, ()))
    else:
        assert "server of the VO physics" in why_not(made(), trust=trust_of(site, ()))
