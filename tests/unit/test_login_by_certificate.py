"""Logging in with a certificate, as a client does it: which files, and what is said when the central takes none."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

import pytest
import requests

from pilot.errors import PilotageError, TransportError
from pilot.login import CertificateLoginRequest, LoginOffer
from pilotage.__main__ import main
from pilotage.connection import Connection
from pilotage.login_by_certificate import Shown, certificate_of, log_in, proxy_of, told

CENTRAL = Connection("https://central.example.org:9618", "")


def kept(path: Path, mode: int = 0o600) -> Path:
    path.write_text("-----BEGIN CERTIFICATE-----\n")
    path.chmod(mode)
    return path


def test_where_a_proxy_is(tmp_path: Path) -> None:
    """The file that is named counts, then the variable, then where the tools of the grid put it."""
    named, by_variable = kept(tmp_path / "named"), kept(tmp_path / "variable")
    environment = {"X509_USER_PROXY": str(by_variable)}
    assert proxy_of(str(named), environment, 1000) == Shown(named, named)
    assert proxy_of("", environment, 1000) == Shown(by_variable, by_variable)
    with pytest.raises(PilotageError, match="^/tmp/x509up_u4294967294 cannot be read"):
        proxy_of("", {}, 4294967294)


def test_a_key_in_a_file_of_its_own(tmp_path: Path) -> None:
    """A certificate may be read by all; a key, wherever it is, by its owner alone."""
    certificate, key = kept(tmp_path / "cert.pem", 0o644), kept(tmp_path / "key.pem")
    assert certificate_of(certificate, key) == Shown(certificate, key)
    with pytest.raises(PilotageError, match=f"others can read it: chmod 600 {certificate}"):
        certificate_of(certificate, None)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o606, 0o644, 0o777])
def test_keys_that_others_can_read(tmp_path: Path, mode: int) -> None:
    """A proxy that others can read is not used."""
    with pytest.raises(PilotageError, match="others can read it: chmod 600"):
        proxy_of(str(kept(tmp_path / "proxy", mode)), {}, 1)


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives files away")
def test_files_of_others(tmp_path: Path) -> None:
    """Whoever leaves a proxy in a folder for all has nobody log in with it."""
    path = kept(tmp_path / "proxy")
    os.chown(path, 12345, 12345)
    with pytest.raises(PilotageError, match="somebody else's"):
        proxy_of(str(path), {}, 1)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("[SSL: SSLV3_ALERT_CERTIFICATE_EXPIRED] sslv3 alert certificate expired (_ssl.c:2580)", "it has ended"),
        ("[SSL: TLSV1_ALERT_UNKNOWN_CA] tlsv1 alert unknown ca (_ssl.c:2580)", "not by an authority"),
        ("[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13 alert certificate required", "none was shown"),
        ("[SSL: TLSV1_ALERT_ACCESS_DENIED] tlsv1 alert access denied (_ssl.c:1)", "access denied (an alert of TLS)"),
    ],
)
def test_what_alerts_mean(words: str, says: str) -> None:
    """What the central's side of TLS says of a certificate is told in words."""
    error = TransportError("it broke off")
    error.__cause__ = requests.ConnectionError(ssl.SSLError(1, words))
    assert says in (told(error) or "")
    assert told(TransportError("the connection was reset")) is None


def test_a_central_without_certificates(tmp_path: Path) -> None:
    """Where nobody logs in with certificates, or the central names an address without TLS, none is shown."""
    shown = Shown(tmp_path, tmp_path)
    for url in ("", "http://central.example.org:9619"):
        offer = LoginOffer("https://idp", "pilotage", (), "https://idp/token", certificates=url)
        with pytest.raises(PilotageError, match="Nobody logs in with certificates at https://central"):
            log_in(offer, CENTRAL, shown, CertificateLoginRequest())


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--proxy", "p", "--browser"], "--proxy and --browser are different ways"),
        (["--proxy", "p", "--certificate", "c"], "--certificate and --proxy are different ways"),
        (["--key", "k"], "--key goes with --certificate"),
    ],
)
def test_one_way_at_a_time(words: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Ways that do not go together are a mistake of the command line."""
    assert main(["login", "--url", CENTRAL.url, *words]) == 2
    assert says in capsys.readouterr().err
