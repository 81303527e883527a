"""Whether anything in a chain is revoked: what lists say, and what is said where there is none that counts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509

from central.configuration.certificates import CertificateLogin
from central.login.chains import check_revoked
from pilot.errors import Refusal
from tests import grid
from tests.grid import Authority, Owned, person, proxy

CA = grid.authority()
LOWER = CA.delegate("Lower CA")
ADA, BEN = CA.issue(person("Ada")), LOWER.issue(person("Ben"))


@pytest.fixture
def site(tmp_path: Path) -> CertificateLogin:
    """A machine of the grid: authorities and their lists."""
    for each in (CA, LOWER):
        each.trust(tmp_path / "certificates")
    return CertificateLogin(1, (), capath="certificates").inside(tmp_path)


def chain(who: Owned, *above: Authority) -> list[x509.Certificate]:
    """Up to the authority, as a handshake has verified it."""
    return [who.certificate, *who.below, *(one.certificate for one in above)]


def refused(site: CertificateLogin, who: Owned, *above: Authority) -> str:
    with pytest.raises(Refusal) as caught:
        check_revoked(site, chain(who, *above))
    assert caught.value.type == "forbidden"
    return caught.value.detail


def test_chains_without_anything_revoked(site: CertificateLogin) -> None:
    """Certificates, proxies on them, and both below an authority below another pass."""
    for each in (ADA, proxy(ADA), proxy(proxy(ADA))):
        check_revoked(site, chain(each, CA))
    for each in (BEN, proxy(BEN)):
        check_revoked(site, chain(each, LOWER, CA))


def test_who_was_revoked(site: CertificateLogin) -> None:
    """The refusal names the certificate that was revoked, wherever in the chain it is."""
    LOWER.trust(Path(site.capath), (BEN.certificate,))
    for each in (BEN, proxy(BEN), proxy(proxy(BEN))):
        assert "CN=Ben by /DC=org/DC=example/CN=Lower CA has been revoked" in refused(site, each, LOWER, CA)
    CA.trust(Path(site.capath), (LOWER.certificate,))
    LOWER.trust(Path(site.capath))
    assert "CN=Lower CA by /DC=org/DC=example/CN=Grid CA has been revoked" in refused(site, proxy(BEN), LOWER, CA)
    check_revoked(site, chain(ADA, CA))


@pytest.mark.parametrize(("silent", "named"), [(CA, "Grid CA"), (LOWER, "Lower CA")])
def test_lists_that_are_missing_or_old(site: CertificateLogin, silent: Authority, named: str) -> None:
    """Every authority of the chain needs a list that is good now; the refusal names the one that has none."""
    (Path(site.capath) / f"{silent.hash()}.r0").unlink()
    assert f"CN={named}: that authority's revocation list is missing here" in refused(site, proxy(BEN), LOWER, CA)
    silent.trust(Path(site.capath), fresh_for=-60)
    assert f"CN={named}: that authority's revocation list is out of date" in refused(site, proxy(BEN), LOWER, CA)


def test_an_authority_that_is_trusted_no_more(site: CertificateLogin) -> None:
    """What has been taken out of the folder since the handshake does not pass."""
    (Path(site.capath) / f"{CA.hash()}.0").unlink()
    assert "is not trusted here" in refused(site, ADA, CA)


def test_settings_that_leave_lists_out(site: CertificateLogin) -> None:
    """Without lists nothing is looked at again: the handshake has seen all the rest."""
    CA.trust(Path(site.capath), (ADA.certificate,))
    check_revoked(replace(site, crls=False), chain(ADA, CA))
