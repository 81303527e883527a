"""Distinguished names as people of the grid write them, ``/DC=org/DC=example/CN=Ada Lovelace``, and users made of them.

That form is not for every name: where a value could be read as a further part of the name, two names would look the
same, and so such a name has none.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata

from cryptography import x509
from cryptography.x509.oid import NameOID

#: Hex digits of the digest in a user's name: nobody finds another name with the same.
DIGITS = 20
#: Characters of what comes before it.
_MOST_WORDS = 40
#: Characters of a whole name.
_MOST = 2000
#: What is not called by RFC 4514, as OpenSSL writes it.
_SHORT = {
    NameOID.EMAIL_ADDRESS: "emailAddress",
    NameOID.SERIAL_NUMBER: "serialNumber",
    NameOID.SURNAME: "SN",
    NameOID.GIVEN_NAME: "GN",
    NameOID.TITLE: "title",
    NameOID.GENERATION_QUALIFIER: "generationQualifier",
    NameOID.DN_QUALIFIER: "dnQualifier",
    NameOID.PSEUDONYM: "pseudonym",
}
#: A slash that would begin another part.
_PART = re.compile(r"/[A-Za-z0-9.]+=")


def written(name: x509.Name) -> str:
    """The name in one line. Raises ValueError for one that cannot be told from another so."""
    if not name.rdns or any(len(list(rdn)) != 1 for rdn in name.rdns):
        raise ValueError("a name with no parts, or with several values in one part")
    line = "".join(f"/{_SHORT.get(one.oid, one.rfc4514_attribute_name)}={_value(one)}" for one in name)
    if len(line) > _MOST:
        raise ValueError(f"a name of more than {_MOST} characters")
    return line


def _value(attribute: x509.NameAttribute[str | bytes]) -> str:
    value = attribute.value
    if not isinstance(value, str) or not value or not value.isprintable() or _PART.search(value) or value[-1] == "/":
        raise ValueError(f"a name whose {attribute.rfc4514_attribute_name} can be misread in one line")
    return value


def user_of(subject: x509.Name, issuer: x509.Name) -> str:
    """What somebody is called here whom the settings do not name: the same subject of two authorities is two users."""
    words = [str(one.value) for one in subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    plain = unicodedata.normalize("NFKD", words[-1] if words else "").encode("ascii", "ignore").decode().lower()
    said = re.sub(r"[^a-z0-9]+", "-", plain)[:_MOST_WORDS].strip("-")
    digest = hashlib.sha256("\n".join((written(issuer), written(subject))).encode()).hexdigest()
    return f"{said or 'user'}-{digest[:DIGITS]}"
