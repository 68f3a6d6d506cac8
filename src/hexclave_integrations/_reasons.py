"""Why a request is refused: every sentence that `.reason` of an error can be.

They are for the developer, in logs and in `hexclave explain`, and never in an answer: a caller is told no more than the
code. Each names the check that failed and, where there is one, the setting that may be wrong. The set is closed, and no
sentence has a place for anything that came with a request.
"""

from __future__ import annotations

from typing import Final

__all__ = ["ALL"]

REFUSED: Final = "The request is refused."

# --- the credentials of a request ---------------------------------------------------------------------------

NO_CREDENTIALS: Final = (
    "No access token came: does the frontend send x-stack-access-token, does a proxy drop it, and are cookies meant to "
    "count (accept_cookies)?"
)
OTHER_SCHEME: Final = (
    "No access token came: the Authorization header has another scheme than Bearer, so it was left to others."
)
SIGNED_OUT: Final = (
    "No access token came: the client says that nobody is signed in, by an empty header or an envelope without a token."
)
COOKIE_WITHOUT_SESSION: Final = (
    "An access cookie came without the refresh cookie of its session, so it counts for nothing: does the frontend use "
    "the project that project_id names, and does the path or domain of the cookies reach this server?"
)
COOKIE_UNREADABLE: Final = (
    "The access cookie cannot be read: it is no percent-encoded JSON array of refresh and access token."
)
COOKIE_OF_ANOTHER_SESSION: Final = (
    "The access cookie belongs to another refresh token than the session's: it is out of date, or a neighbouring "
    "subdomain planted it."
)
SEVERAL_CREDENTIALS: Final = "A credential header came with several different values: does a proxy add one of its own?"
HEADER_TOO_LONG: Final = "A credential header is longer than 32 KiB."
ENVELOPE_BASE64: Final = "What follows stackauth_ or hexclave_ is not base64."
ENVELOPE_UNREADABLE: Final = "The envelope of x-stack-auth or of stackauth_ is no JSON object in UTF-8."
ENVELOPE_TYPES: Final = "A token in the envelope of x-stack-auth or of stackauth_ is neither a text nor null."
NOT_TEXT: Final = "The credential that the application passed on is no text."
USER_WANTED: Final = "An API key came where a user is asked for: .allow(api_key=True) takes a user's key."
REQUEST_OF_ANOTHER_PAGE: Final = (
    "The token came in a cookie, and the browser says that a page of another origin made the request (Sec-Fetch-Site): "
    "add the frontend's origin to trusted_origins, or let it send the token in a header."
)
ORIGIN_IS_NOT_THE_HOST: Final = (
    "The token came in a cookie, and Origin names another host or port than Host: is it a page of another origin, or "
    "does a proxy rewrite Host? Add the frontend's origin to trusted_origins, or let it send the token in a header."
)
WEBSOCKET_OF_ANOTHER_PAGE: Final = (
    "The token came in a cookie, and the websocket's Origin is missing or names another host or port than Host: is it "
    "a page of another origin, or does a proxy rewrite Host? Add the frontend's origin to trusted_origins, or let it "
    "offer the token as a subprotocol."
)
DJANGO_CSRF: Final = (
    "The token came in a cookie, and Django's own CSRF check refuses the request: send Django's CSRF token too, and "
    "add a frontend of another origin to CSRF_TRUSTED_ORIGINS as well as to trusted_origins."
)
API_KEY_WANTED: Final = "No API key came, and require_api_key takes nothing else: it is read from x-api-key."

# --- the token's form ---------------------------------------------------------------------------------------

UNACCEPTABLE: Final = "The access token is not acceptable."
TOKEN_LENGTH: Final = "The token is too short or too long to be an access token: is it an API key, or a refresh token?"
NOT_ASCII: Final = "The token has characters that no token has."
SEGMENTS: Final = (
    "The token is not header, payload and a signature of 64 bytes with dots between: was it cut off, or is it no ES256 "
    "token of Hexclave's?"
)
HEADER_UNREADABLE: Final = "The token's header is not base64url of a JSON object, or it names something twice."
ALGORITHM: Final = "The token's algorithm (alg) is not ES256: it is no access token of Hexclave's, or is forged."
HEADER_EXTENSION: Final = "The token's header has crit or b64, which Hexclave never writes."
NO_KEY_ID: Final = "The token's header names no key (kid)."
CLAIMS_UNREADABLE: Final = "The token's payload is not base64url of a JSON object, or it names something twice."
SIGNATURE_UNREADABLE: Final = "The token's signature is not base64url."

# --- the token's key and signature --------------------------------------------------------------------------

UNKNOWN_KEY: Final = (
    "The key id (kid) is not in the project's key set, which was fetched for it or less than jwks_cooldown before: is "
    "api_url the host that the frontend signs in at?"
)
SIGNATURE: Final = (
    "The signature does not match: the token was altered, cut off or forged, or api_url is another server with a key "
    "of the same id."
)
KEY_OF_OTHER_USERS: Final = (
    "The token is signed by a key that Hexclave publishes for users of another kind than the claims say."
)

# --- the token's claims -------------------------------------------------------------------------------------

AUDIENCE: Final = "The audience (aud) is missing, or names no project of Hexclave's."
OTHER_PROJECT: Final = (
    "The audience (aud) is another project: do project_id here and the project id of the frontend agree?"
)
ISSUER: Final = (
    "The issuer (iss) is not accepted: is api_url the host that the frontend signs in at? Add another one to "
    "issuer_urls."
)
ISSUER_LOOPBACK: Final = (
    "The issuer (iss) is a loopback address other than api_url: write api_url as the frontend does, name and port "
    "(localhost and 127.0.0.1 are two names), or add the frontend's to issuer_urls."
)
ISSUER_KIND: Final = "The issuer (iss) and the audience (aud) speak of different kinds of users."
TIMES: Final = "A time (exp, iat, nbf) is missing, or is no whole number of seconds."
NOT_YET_VALID: Final = (
    "The token was issued in the future (iat, nbf): is this machine's clock slow? leeway allows for a little."
)
FLAGS: Final = "is_anonymous and is_restricted contradict the audience (aud)."
RESTRICTED_REASON: Final = "restricted_reason contradicts is_restricted, or has no type."
LEGACY_NAME: Final = "A claim came under its old and its new name with different values."
SUBJECT: Final = "The user id (sub) is missing, or no UUID."
SESSION_ID: Final = "The session id (refresh_token_id) is missing, or no UUID."
PROJECT_CLAIM: Final = "project_id contradicts the audience (aud)."
BRANCH: Final = "The branch (branch_id) is not main: tokens of other branches are not accepted."
ROLE: Final = "The role is not authenticated."
TOKEN_ID: Final = "The token's id (jti) is no text."
PROFILE: Final = (
    "A claim about the user (name, email, email_verified, selected_team_id, signed_up_at, requires_totp_mfa) is of "
    "another type than Hexclave writes."
)
EXPIRED: Final = (
    "The token has expired (exp): the frontend has to refresh it, or this machine's clock is fast. leeway allows for a "
    "little."
)
EXPIRED_AT_HEXCLAVE: Final = "Hexclave says that the token has expired: are both clocks right?"

# --- the user -----------------------------------------------------------------------------------------------

ANONYMOUS: Final = "The user is anonymous: .allow(anonymous=True) lets such users in."
RESTRICTED: Final = (
    "The user is restricted, because of an e-mail that is not verified for instance: .allow(restricted=True) lets such "
    "users in."
)
SESSION_ENDED: Final = "Hexclave lists no such session any more: the user signed out, or it was revoked."
USER_GONE: Final = "Hexclave knows no such user any more."
TOKEN_REFUSED: Final = "Hexclave refuses the token that is good here: the user or the session is gone."
ANOTHER_USER: Final = "Hexclave says that the token is another user's."
USER_OF_ANOTHER_PROJECT: Final = (
    "The user was verified by a client of another project: one application's requirements take its own client's users."
)
TEAM_PERMISSION: Final = (
    "The user does not hold the permission in the team, directly or through another one. A permission that was granted "
    "a moment ago counts after permission_ttl."
)
PROJECT_PERMISSION: Final = (
    "The user does not hold the project permission, directly or through another one. A permission that was granted a "
    "moment ago counts after permission_ttl."
)
TEAM_MEMBERSHIP: Final = (
    "The user is not a member of the team. Somebody who joined a moment ago counts after permission_ttl."
)
NO_TEAM: Final = (
    "The team that the requirement refers to is no team id: the route parameter is no UUID, or the user has selected "
    "no team."
)

ITEM_INSUFFICIENT: Final = "The customer's balance of the item is lower than the requirement asks for."
PRODUCT_MISSING: Final = (
    "The customer does not have the product. A product that was granted or bought a moment ago counts after "
    "permission_ttl."
)

# --- API keys -----------------------------------------------------------------------------------------------

API_KEY_FORMAT: Final = "The text has not the form of an API key of Hexclave's: was it cut off?"
API_KEY_CHECKSUM: Final = "The API key's checksum is wrong: a character of it was changed."
API_KEY_UNKNOWN: Final = "Hexclave knows no such API key: is it of the project that project_id names?"
API_KEY_OWNER_GONE: Final = "The user whose API key it is does not exist any more."
API_KEY_REVOKED: Final = "The API key was revoked."
API_KEY_EXPIRED: Final = "The API key is over: its owner has to make a new one."
API_KEY_TYPE: Final = "The API key is a team's, where a user's is asked for."

# --- cannot tell --------------------------------------------------------------------------------------------

UNAVAILABLE: Final = "It cannot be told now."
NO_ANSWER: Final = "Hexclave could not be reached: is api_url right, and can this machine reach it?"
TIMED_OUT: Final = "Hexclave did not answer within http_timeout."
UNUSABLE_TRANSFER: Final = (
    "The answer from api_url was too large or encoded: does a proxy stand in between, and is it Hexclave's API?"
)
KEYS_PROJECT: Final = "Hexclave at api_url knows no such project: are project_id and api_url right?"
KEYS_STATUS: Final = (
    "api_url answered the question for the key set with an error: is it Hexclave's API, and does it work?"
)
KEYS_UNUSABLE: Final = (
    "What api_url answers is no key set: is it the URL of Hexclave's API, and not of its dashboard or a frontend?"
)
KEYS_NOT_FETCHED: Final = "There is no key set yet: the request that fetches it has not come to its end."
KINDS_UNKNOWN: Final = "The token contradicts the order of the keys, and Hexclave did not say which users each is for."
GIVEN_UP: Final = "Another request that asks Hexclave the same did not come to its end in time."
STOPPED: Final = "The client was closed, or its event loop ended, while Hexclave was asked."
TOO_MANY_QUESTIONS: Final = (
    "So many callers whom Hexclave has not vouched for come with an API key or a team that it would have to be asked: "
    "is somebody trying them out? max_questions is how many are asked about a second."
)
RATE_LIMITED: Final = "Hexclave asked for silence (429): the project's rate limit is used up."
API_STATUS: Final = "Hexclave answered a question with an error: its API does not work now, or api_url is wrong."
API_UNUSABLE: Final = "Hexclave's answer could not be used: is api_url the URL of its API?"
REQUEST_ENDED: Final = "The request has ended, by its answer or because the caller hung up: nothing is spent for it."
ITEM_UNKNOWN: Final = (
    "Hexclave has no item of the id that the requirement names, or it is one for customers of another type: define it "
    "in the dashboard, for users, or for teams where the requirement names a team."
)
SERVER_KEY_REFUSED: Final = "Hexclave refused secret_server_key: is it the current one, of this project?"
FLEET_UNAVAILABLE: Final = "Redis at redis_url, which the other processes hear from, could not be asked."

# --- webhooks -----------------------------------------------------------------------------------------------

WEBHOOK_UNVERIFIED: Final = "The delivery could not be verified."
WEBHOOK_TOO_LARGE: Final = "The body is larger than max_body."
WEBHOOK_EMPTY: Final = "The body is empty: did a proxy drop it, or did something read it before the endpoint?"
WEBHOOK_NO_HEADERS: Final = (
    "The delivery has no signature headers (svix-id, svix-timestamp, svix-signature, or webhook-*): does a proxy drop "
    "them, or is somebody else calling?"
)
WEBHOOK_HEADER_MISSING: Final = "A signature header is missing (id, timestamp or signature): does a proxy drop it?"
WEBHOOK_HEADERS_MIXED: Final = (
    "Some signature headers are svix-* and some are webhook-*, and neither family is complete."
)
WEBHOOK_HEADER_REPEATED: Final = "A signature header came twice."
WEBHOOK_ID: Final = "The delivery's id header is no id."
WEBHOOK_TIMESTAMP: Final = "The delivery's timestamp header is no whole number of seconds."
WEBHOOK_TOO_OLD: Final = (
    "The delivery's time is too long ago: is this machine's clock fast, or is an old delivery sent again by hand? "
    "tolerance says how old one may be."
)
WEBHOOK_IN_FUTURE: Final = "The delivery's time is in the future: is this machine's clock slow?"
WEBHOOK_SIGNATURE_HEADER: Final = "The signature header is not a list of signatures such as v1,... in base64."
WEBHOOK_NO_V1: Final = "The signature header has no signature of version v1."
WEBHOOK_NOT_UTF8: Final = "The body is not UTF-8: did a proxy compress or decode it?"
WEBHOOK_REWRITTEN: Final = (
    "The signature does not match, and the body is not spaced as Hexclave writes JSON: a proxy, gateway or middleware "
    "has written it anew. Pass the body on as it came."
)
WEBHOOK_SIGNATURE: Final = (
    "The signature does not match: is this endpoint's own signing secret in webhook_secrets, and does the body arrive "
    "as it was sent?"
)
WEBHOOK_NO_EVENT: Final = "The delivery is genuine, and its body is no event that can be read."
WEBHOOK_IN_PROGRESS: Final = "The same delivery is being handled at this moment."
WEBHOOK_HANDLER_FAILED: Final = "A handler failed: the log has its error."
WEBHOOK_STORE: Final = "The store of deliveries could not be asked: the log has its error."

ALL: Final = frozenset(value for name, value in dict(globals()).items() if name.isupper() and isinstance(value, str))
"""The closed set."""
