"""An OpenID Connect provider for tests: Django with django-oauth-toolkit, in one file. `tests/real/oidc.sh` runs it.

    oidc_provider.py prepare FOLDER        makes the database, people and clients
    oidc_provider.py serve FOLDER PORT     serves over TLS, with FOLDER's server.pem, server.key and signing.pem

The toolkit does the protocol, its pages, codes and signatures. Two things it does not do are added with its own parts:
its discovery document names the endpoint for codes, and who logs in by a code gets an ID token as well.
"""

from __future__ import annotations

import json
import ssl
import sys
import time
from pathlib import Path
from socketserver import TCPServer, ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import django
from django.conf import settings
from django.core.management import call_command

FOLDER = Path(sys.argv[2]).absolute()
PORT = sys.argv[3] if len(sys.argv) > 3 else "0"
HERE = f"https://localhost:{PORT}"
CLIENT, SECRET = "pilotage", "a secret of the client"
#: Who there is, and their groups. The password of each is the name.
PEOPLE = {
    "ada": ["/physics/muons", "/wheel"],
    "ben": ["/physics/tau", "/physics/muons/admins"],
    "zoe": ["/chemistry"],
    "nil": [],
}


def signing_key() -> str:
    file = FOLDER / "signing.pem"
    return file.read_text() if file.exists() else ""


def provider() -> dict[str, Any]:
    """What the provider does, and says of itself."""
    return {
        "OIDC_ENABLED": True,
        "OIDC_ISS_ENDPOINT": f"{HERE}/o",
        "OIDC_RSA_PRIVATE_KEY": signing_key(),
        "OAUTH2_VALIDATOR_CLASS": "oidc_provider.Validator",
        "OAUTH_DEVICE_VERIFICATION_URI": f"{HERE}/o/device/",
        "OAUTH_DEVICE_VERIFICATION_URI_COMPLETE": lambda code: f"{HERE}/o/device/?user_code={code}",
        "DEVICE_FLOW_INTERVAL": 1,
        "SCOPES": {"openid": "Who you are", "profile": "Your name", "groups": "Your groups"},
        "PKCE_REQUIRED": True,
    }


def configure() -> None:
    settings.configure(
        DEBUG=False,
        SECRET_KEY="only-for-tests",
        ALLOWED_HOSTS=["localhost", "127.0.0.1"],
        ROOT_URLCONF="oidc_provider",
        USE_TZ=True,
        DEFAULT_AUTO_FIELD="django.db.models.AutoField",
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": FOLDER / "provider.db",
                "OPTIONS": {"init_command": "PRAGMA synchronous = OFF"},
            }
        },
        INSTALLED_APPS=[
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "django.contrib.sessions",
            "django.contrib.messages",
            "oauth2_provider",
        ],
        MIDDLEWARE=[
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            "django.contrib.messages.middleware.MessageMiddleware",
        ],
        TEMPLATES=[
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "DIRS": [FOLDER / "templates"],
                "APP_DIRS": True,
                "OPTIONS": {
                    "context_processors": [
                        "django.template.context_processors.request",
                        "django.contrib.auth.context_processors.auth",
                    ]
                },
            }
        ],
        LOGIN_URL="/login/",
        LOGGING={
            "version": 1,
            "disable_existing_loggers": False,
            "handlers": {"log": {"class": "logging.StreamHandler"}},
            "loggers": {"django.request": {"handlers": ["log"], "level": "ERROR"}},
        },
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],  # for the speed of tests
        OAUTH2_PROVIDER=provider(),
    )


if not settings.configured:  # Django reads this file once more, by its name
    configure()
    django.setup()

from django.contrib.auth.models import Group, User  # noqa: E402
from django.contrib.auth.views import LoginView  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.http import HttpRequest, JsonResponse  # noqa: E402
from django.urls import include, path  # noqa: E402
from oauth2_provider.models import get_application_model  # noqa: E402
from oauth2_provider.oauth2_validators import OAuth2Validator  # noqa: E402
from oauth2_provider.views import ConnectDiscoveryInfoView  # noqa: E402

DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"


class Validator(OAuth2Validator):
    """Names and groups of people are in their ID tokens, also in those of people who log in by a code."""

    oidc_claim_scope = None

    def get_additional_claims(self, request: Any) -> dict[str, Any]:
        groups = sorted(request.user.groups.values_list("name", flat=True))
        return {"preferred_username": request.user.username, "groups": groups}

    def validate_grant_type(self, client_id: str, grant_type: str, client: Any, request: Any, *rest: Any) -> bool:
        """The toolkit's clients are for one flow each; these are for codes as well."""
        return grant_type == DEVICE_GRANT or super().validate_grant_type(client_id, grant_type, client, request, *rest)

    def _save_bearer_token(self, token: dict[str, Any], request: Any, *rest: Any, **named: Any) -> None:
        super()._save_bearer_token(token, request, *rest, **named)
        if request.grant_type == DEVICE_GRANT and "openid" in request.scopes:
            request.nonce = None
            claims = {"aud": request.client_id, "iat": int(time.time())}
            token["id_token"] = self.finalize_id_token(claims, token, None, request)


class Discovery(ConnectDiscoveryInfoView):
    """The toolkit's document, with its own endpoint for codes in it."""

    def get(self, request: HttpRequest, *rest: Any, **named: Any) -> JsonResponse:
        document = json.loads(super().get(request, *rest, **named).content)
        return JsonResponse({**document, "device_authorization_endpoint": f"{HERE}/o/device-authorization/"})


urlpatterns = [
    path("o/.well-known/openid-configuration", Discovery.as_view()),
    path("o/", include("oauth2_provider.urls", namespace="oauth2_provider")),
    path("login/", LoginView.as_view(template_name="login.html")),
]


def prepare() -> None:
    """People, their groups, and two clients: one that everybody can be, and one with a secret."""
    (FOLDER / "templates").mkdir(exist_ok=True)
    (FOLDER / "templates/login.html").write_text(
        "<form method=post>{% csrf_token %}{{ form }}<input name=next value='{{ next }}'><button>Log in</button></form>"
    )
    call_command("migrate", verbosity=0)
    for name, groups in PEOPLE.items():
        user = User.objects.create_user(name, password=name)
        user.groups.set([Group.objects.get_or_create(name=group)[0] for group in groups])
    for client, kind in ((CLIENT, "public"), (f"{CLIENT}-with-secret", "confidential")):
        get_application_model().objects.create(
            client_id=client,
            client_type=kind,
            client_secret=SECRET,
            authorization_grant_type="authorization-code",
            redirect_uris="http://127.0.0.1/",  # with any port
            name=f"The test's {client}",
            algorithm="RS256",
        )


def serve() -> None:
    class Server(ThreadingMixIn, WSGIServer):
        daemon_threads = True

        def server_bind(self) -> None:
            """As the library's, without asking for this machine's name, which may take long."""
            TCPServer.server_bind(self)
            self.server_name, self.server_port = "localhost", self.server_address[1]
            self.setup_environ()

    class Quiet(WSGIRequestHandler):
        def log_message(self, *words: object) -> None:
            """Nothing: codes are in paths."""

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(FOLDER / "server.pem", FOLDER / "server.key")
    with make_server("127.0.0.1", int(PORT), get_wsgi_application(), Server, Quiet) as server:
        server.base_environ["HTTPS"] = "on"
        server.base_environ["wsgi.url_scheme"] = "https"
        server.socket = context.wrap_socket(server.socket, server_side=True)
        server.serve_forever()


if __name__ == "__main__":
    {"prepare": prepare, "serve": serve}[sys.argv[1]]()
