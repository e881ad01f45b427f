"""A small OpenID Connect provider in a process of its own: Authlib's own server, over HTTP on the loopback.

``python tests/services/provider.py PORT REDIRECT`` serves one client, 'farm'. Whoever comes to /authorize is the
person that ``POST /be`` has named last, without being asked; ``POST /misbehave`` makes the next answers wrong.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

from authlib.integrations.flask_oauth2 import AuthorizationServer, ResourceProtector, current_token
from authlib.oauth2.rfc6749 import AuthorizationCodeMixin, ClientMixin, TokenMixin, grants
from authlib.oauth2.rfc6750 import BearerTokenValidator
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oidc.core import UserInfo
from authlib.oidc.core.grants import OpenIDCode
from flask import Flask, Response, jsonify, request
from joserfc import jwk

CLIENT, SECRET = "farm", "a-secret-of-the-farm"
_FIRST = {"sub": "1", "email": "ana@example.com", "email_verified": True, "name": "Ana Ortega"}


class Client(ClientMixin):  # type: ignore[misc]
    """The one client. Its redirect address is the one that it was registered with."""

    def __init__(self, redirect_uri: str) -> None:
        self.redirect_uri = redirect_uri

    def get_client_id(self) -> str:
        return CLIENT

    def get_default_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_allowed_scope(self, scope: str) -> str:
        return scope

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirect_uri == self.redirect_uri

    def check_client_secret(self, client_secret: str) -> bool:
        return client_secret == SECRET

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        del endpoint
        return method == "client_secret_basic"

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type == "authorization_code"


class Code(AuthorizationCodeMixin):  # type: ignore[misc]
    """A code that was given out."""

    def __init__(self, code: str, asked: Any, user: dict[str, Any]) -> None:
        data = asked.payload.data
        self.code = code
        self.redirect_uri = asked.payload.redirect_uri
        self.scope = asked.payload.scope
        self.nonce = data.get("nonce")
        self.code_challenge = data.get("code_challenge")
        self.code_challenge_method = data.get("code_challenge_method")
        self.user = user
        self.auth_time = int(time.time())

    def get_redirect_uri(self) -> str:
        return str(self.redirect_uri)

    def get_scope(self) -> str:
        return str(self.scope)

    def get_nonce(self) -> Any:
        return self.nonce

    def get_auth_time(self) -> int:
        return self.auth_time

    def get_acr(self) -> None:
        return None

    def get_amr(self) -> None:
        return None


class Token(TokenMixin):  # type: ignore[misc]
    """An access token that was given out."""

    def __init__(self, token: dict[str, Any], user: dict[str, Any]) -> None:
        self.token, self.user = token, user

    def check_client(self, client: Any) -> bool:
        return bool(client.get_client_id() == CLIENT)

    def get_scope(self) -> str:
        return str(self.token.get("scope", ""))

    def get_expires_in(self) -> int:
        return 600

    def is_expired(self) -> bool:
        return False

    def is_revoked(self) -> bool:
        return False


def create(issuer: str, redirect_uri: str) -> Flask:
    """The provider."""
    app = Flask("provider")
    key = jwk.RSAKey.generate_key(2048, parameters={"kid": "now", "use": "sig", "alg": "RS256"}, private=True)
    other = jwk.RSAKey.generate_key(2048, parameters={"kid": "now", "use": "sig", "alg": "RS256"}, private=True)
    state: dict[str, Any] = {"user": dict(_FIRST), "wrong": "", "seen": {}}
    codes: dict[str, Code] = {}
    tokens: dict[str, Token] = {}
    client = Client(redirect_uri)

    def save_token(token: dict[str, Any], asked: Any) -> None:
        tokens[token["access_token"]] = Token(token, asked.user)

    server = AuthorizationServer(
        app, query_client=lambda name: client if name == CLIENT else None, save_token=save_token
    )

    class Grant(grants.AuthorizationCodeGrant):  # type: ignore[misc]
        TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_basic"]  # noqa: RUF012 - Authlib's own way

        def save_authorization_code(self, code: str, request: Any) -> None:
            codes[code] = Code(code, request, dict(state["user"]))

        def query_authorization_code(self, code: str, client: Any) -> Code | None:
            return codes.get(code)

        def delete_authorization_code(self, authorization_code: Code) -> None:
            codes.pop(authorization_code.code, None)

        def authenticate_user(self, authorization_code: Code) -> dict[str, Any]:
            return authorization_code.user

    class OpenID(OpenIDCode):  # type: ignore[misc]
        def exists_nonce(self, nonce: str, request: Any) -> bool:
            return False

        def resolve_client_private_key(self, client: Any) -> Any:
            return other if state["wrong"] == "key" else key

        def get_client_algorithm(self, client: Any) -> str:
            return "none" if state["wrong"] == "unsigned" else "RS256"

        def get_encode_header(self, client: Any) -> dict[str, str]:
            return {"alg": self.get_client_algorithm(client), "kid": "now"}

        def get_client_claims(self, client: Any) -> dict[str, Any]:
            return {
                "iss": "http://evil.example" if state["wrong"] == "issuer" else issuer,
                "aud": ["another"] if state["wrong"] == "audience" else [CLIENT],
                "exp": int(time.time()) + (-3600 if state["wrong"] == "expired" else 600),
            }

        def generate_user_info(self, user: dict[str, Any], scope: str) -> UserInfo:
            said = {name: value for name, value in user.items() if name not in state["seen"].get("hidden", ())}
            return UserInfo(**said)

    server.register_grant(Grant, [OpenID(require_nonce=True), CodeChallenge(required=True)])

    class Validator(BearerTokenValidator):  # type: ignore[misc]
        def authenticate_token(self, token_string: str) -> Token | None:
            return tokens.get(token_string)

    guard = ResourceProtector()
    guard.register_token_validator(Validator())

    @app.get("/.well-known/openid-configuration")
    def describe() -> Response:
        answer: Response = jsonify(
            issuer="http://evil.example" if state["wrong"] == "metadata" else issuer,
            authorization_endpoint=f"{issuer}/authorize",
            token_endpoint=f"{issuer}/token",
            userinfo_endpoint=f"{issuer}/userinfo",
            jwks_uri=f"{issuer}/keys",
            response_types_supported=["code"],
            id_token_signing_alg_values_supported=["RS256", "HS256", "none"],
            code_challenge_methods_supported=["S256"],
        )
        return answer

    @app.get("/keys")
    def keys() -> Response:
        answer: Response = jsonify(keys=[key.as_dict(private=False)])
        return answer

    @app.get("/authorize")
    def authorize() -> Any:
        state["asked"] = request.args.to_dict()
        if state["wrong"] == "denied":
            return Response(status=302, headers={
                "Location": f"{redirect_uri}?error=access_denied&state={request.args['state']}"
            })  # fmt: skip
        grant = server.get_consent_grant(end_user=state["user"])
        return server.create_authorization_response(grant_user=state["user"], grant=grant)

    @app.post("/token")
    def token() -> Any:
        if state["wrong"] == "nonce":
            for code in codes.values():
                code.nonce = "another"
        answer = server.create_token_response()
        if state["wrong"] == "no-identity":
            said = answer.get_json()
            said.pop("id_token", None)
            return jsonify(said)
        return answer

    @app.get("/userinfo")
    @guard(None)
    def userinfo() -> Any:
        said = dict(current_token.user)
        return jsonify({**said, "sub": "somebody else"} if state["wrong"] == "userinfo" else said)

    @app.post("/be")
    def be() -> str:
        given = request.get_json()
        state["seen"] = {"hidden": given.pop("hidden", [])}
        state["user"] = given
        state["wrong"] = ""
        return "ok"

    @app.post("/misbehave")
    def misbehave() -> str:
        state["wrong"] = request.get_json()["how"]
        return "ok"

    @app.get("/asked")
    def asked() -> Response:
        answer: Response = jsonify(state["asked"])
        return answer

    return app


if __name__ == "__main__":
    os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"  # the loopback has no TLS
    create(f"http://127.0.0.1:{sys.argv[1]}", sys.argv[2]).run("127.0.0.1", int(sys.argv[1]))
