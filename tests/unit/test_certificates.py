"""The authority and the server's certificates."""

from __future__ import annotations

import datetime
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from central.trust.certificates import Certificates, issue, make_authority, wants_renewal
from pilot.errors import PilotageError

NOW = datetime.datetime(2026, 11, 26, tzinfo=datetime.UTC)
WEEK = 7 * 86400.0


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    (tmp_path / "private").mkdir()
    made = Certificates(tmp_path, "central.example", ("node7",), WEEK)
    assert made.make(NOW)
    return made


def server(certificates: Certificates) -> x509.Certificate:
    return x509.load_pem_x509_certificate(certificates.server_file.read_bytes())


def test_the_server_is_who_its_address_says(certificates: Certificates) -> None:
    """The server's certificate verifies under the authority for the public host, the local names and the host name."""
    assert certificates.refresh(NOW)
    authority = x509.load_pem_x509_certificate(certificates.authority_file.read_bytes())
    for name in ("central.example", "localhost", "node7"):
        verifier = PolicyBuilder().store(Store([authority])).time(NOW).build_server_verifier(x509.DNSName(name))
        assert len(verifier.verify(server(certificates), [])) == 2
    stranger = PolicyBuilder().store(Store([authority])).time(NOW).build_server_verifier(x509.DNSName("example.org"))
    with pytest.raises(VerificationError):
        stranger.verify(server(certificates), [])


def test_the_authority_signs_for_its_own_names_only() -> None:
    """A certificate for another host, although signed by the authority, is not believed."""
    authority = make_authority(["central.example", "10.1.2.3"], NOW)
    assert authority.covers("10.1.2.3")
    assert authority.covers("127.0.0.7")
    assert not authority.covers("10.1.2.4")
    assert not authority.covers("evil.example")
    forged = x509.load_pem_x509_certificate(issue(authority, ["evil.example"], WEEK, NOW))
    store = Store([authority.certificate])
    verifier = PolicyBuilder().store(store).time(NOW).build_server_verifier(x509.DNSName("evil.example"))
    with pytest.raises(VerificationError):
        verifier.verify(forged, [])


def test_certificates_are_renewed_well_before_their_end(certificates: Certificates) -> None:
    """A young certificate is kept; from half its life on, or when a name is missing, there is a new one."""
    assert certificates.refresh(NOW)
    first = server(certificates).serial_number
    assert not certificates.refresh(NOW + datetime.timedelta(days=3))
    assert server(certificates).serial_number == first
    assert certificates.refresh(NOW + datetime.timedelta(days=4))
    assert server(certificates).serial_number != first
    assert wants_renewal(server(certificates), ["other.example"], WEEK, NOW + datetime.timedelta(days=4))


def test_the_authority_is_made_once(certificates: Certificates) -> None:
    """Making again keeps the authority that clients and pilots carry; keys are for their owner alone."""
    before = certificates.authority_file.read_bytes()
    assert not certificates.make(NOW)
    assert certificates.authority_file.read_bytes() == before
    certificates.refresh(NOW)
    for file in (certificates.server_file, certificates.folder / "private" / "ca.key"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_public_host_that_the_authority_does_not_know_is_refused(certificates: Certificates) -> None:
    """A changed public address that the authority may not sign for is an error that says what to do."""
    with pytest.raises(PilotageError, match=r"may not sign for new\.example"):
        replace(certificates, host="new.example").refresh(NOW)


def test_a_further_name_that_the_authority_does_not_know_is_left_out(certificates: Certificates) -> None:
    """A machine that was renamed still serves; its new name is left out of the certificate."""
    assert replace(certificates, names=("renamed",)).refresh(NOW)
    names = server(certificates).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "renamed" not in names.get_values_for_type(x509.DNSName)
