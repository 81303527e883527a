"""What EC2's errors mean to a director: pure."""

from __future__ import annotations

from central.elements.port import ComputingError, Trouble

#: Characters of EC2's own words in a message.
WORDS = 300
#: Refused permissions come with a kilobyte that only the account's owner can decode.
_ENCODED = " Encoded authorization failure message"
#: Codes of EC2's API reference ("Error codes"). What is in none of these is refused.
_FULL = frozenset(
    {
        *("InsufficientInstanceCapacity", "InsufficientCapacity", "InsufficientHostCapacity"),
        *("InsufficientReservedInstanceCapacity", "InsufficientVolumeCapacity", "InsufficientAddressCapacity"),
        *("InsufficientFreeAddressesInSubnet", "ReservationCapacityExceeded", "SpotMaxPriceTooLow"),
        *("InstanceLimitExceeded", "VcpuLimitExceeded", "MaxSpotInstanceCountExceeded", "VolumeLimitExceeded"),
        *("MaxIOPSLimitExceeded", "NetworkInterfaceLimitExceeded", "AddressLimitExceeded", "ResourceLimitExceeded"),
    }
)
_CREDENTIAL = frozenset(
    {
        *("AuthFailure", "UnauthorizedOperation", "AccessDenied", "AccessDeniedException", "OptInRequired"),
        *("ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "UnrecognizedClientException"),
        *("MissingAuthenticationToken", "IncompleteSignature", "SignatureDoesNotMatch", "InvalidSignatureException"),
        *("RequestExpired", "Blocked", "PendingVerification", "InvalidSecurityToken"),
    }
)
_UNREACHABLE = frozenset(
    {
        *("RequestLimitExceeded", "Throttling", "ThrottlingException", "TooManyRequestsException", "SlowDown"),
        *("ServiceUnavailable", "Unavailable", "InternalError", "InternalFailure", "InternalServiceError"),
        *("RequestTimeout", "RequestTimeoutException"),
    }
)
#: A machine that is not there, or an id of a form that none has.
GONE = frozenset({"InvalidInstanceID.NotFound", "InvalidInstanceID.Malformed"})
#: A machine of this stamp was started before, with another secret, or is over already.
STARTED = frozenset({"IdempotentParameterMismatch", "IdempotentInstanceTerminated"})


def trouble(code: str, status: int) -> Trouble:
    """By the code in an answer, and its HTTP status: a lack of capacity comes with a 500."""
    for codes, found in ((_FULL, Trouble.FULL), (_CREDENTIAL, Trouble.CREDENTIAL), (_UNREACHABLE, Trouble.UNREACHABLE)):
        if code in codes:
            return found
    return Trouble.UNREACHABLE if status >= 500 or status == 429 else Trouble.REFUSED


def answered(code: str, message: str, status: int) -> ComputingError:
    """The error that an answer stands for."""
    words = " ".join(message.partition(_ENCODED)[0].split())[:WORDS]
    return ComputingError(f"EC2 says {code}: {words or f'HTTP status {status}'}", trouble(code, status))


def unanswered(error: Exception) -> ComputingError:
    """The error where there was no answer, or none that could be understood."""
    words = " ".join(str(error).split())[:WORDS]
    return ComputingError(f"EC2 does not answer: {type(error).__name__}: {words}", Trouble.UNREACHABLE)
