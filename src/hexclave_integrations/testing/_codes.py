"""One-time codes that e-mails bring: made, tried and used up, in the order of checks of the real server."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from ._mailbox import SandboxEmail
from ._project import Project
from ._records import CodeKind, VerificationCode
from ._wire import known_error, random_text

__all__ = ["CODE_LENGTH", "TYPED", "check_callback", "find_code", "send_code", "use_code", "with_code"]

CODE_LENGTH = 45
TYPED = 6  # characters of a sign-in code that a user types; the rest is the nonce, which the page keeps
_MAX_ATTEMPTS = 20
_MINUTE_MILLIS = 60_000
_WEEK_MILLIS = 7 * 24 * 60 * _MINUTE_MILLIS
_LIFETIME_MILLIS: dict[CodeKind, int] = {
    "sign_in": 15 * _MINUTE_MILLIS,
    "email_verification": _WEEK_MILLIS,
    "password_reset": _WEEK_MILLIS,
}
# kind of code -> (kind of e-mail, subject)
_EMAILS: dict[CodeKind, tuple[str, str]] = {
    "sign_in": ("sign_in_code", "Sign in to Sandbox"),
    "email_verification": ("email_verification", "Verify your e-mail at Sandbox"),
    "password_reset": ("password_reset", "Reset your password at Sandbox"),
}
_LOCALHOST = re.compile(r"localhost|.+\.localhost|127\.\d+\.\d+\.\d+|::1")


def check_callback(project: Project, url: str) -> None:
    """Refuse a link that leads to another host than localhost and the project's domains.

    Raises:
        Refusal: `REDIRECT_URL_NOT_WHITELISTED`.
    """
    parts = urlsplit(url)
    if parts.scheme in ("http", "https") and _LOCALHOST.fullmatch(parts.hostname or ""):
        return
    if f"{parts.scheme}://{parts.netloc}" not in project.domains:
        raise known_error("REDIRECT_URL_NOT_WHITELISTED")


def send_code(
    project: Project, kind: CodeKind, email: str, callback_url: str, user_id: str | None = None
) -> VerificationCode:
    """Put an e-mail with a new code into the project's mailbox.

    Args:
        callback_url: the page that the e-mail links to; the code is added to it as `code`.
        user_id: whom the code is about; None for a sign-in.

    Raises:
        Refusal: `REDIRECT_URL_NOT_WHITELISTED`.
    """
    check_callback(project, callback_url)
    code = VerificationCode(
        code=random_text(CODE_LENGTH),
        kind=kind,
        email=email,
        user_id=user_id,
        expires_at=project.now_millis() + _LIFETIME_MILLIS[kind],
    )
    project.codes.append(code)
    email_kind, subject = _EMAILS[kind]
    shown = code.code[:TYPED].upper() if kind == "sign_in" else code.code
    link = with_code(callback_url, code.code)
    project.emails.append(SandboxEmail(to=email, kind=email_kind, subject=subject, code=shown, link=link))
    return code


def find_code(project: Project, kind: CodeKind, text: str) -> VerificationCode:
    """The code that somebody sent, in whatever case, if it is still good; the attempt is counted.

    Raises:
        Refusal: `VERIFICATION_CODE_NOT_FOUND`, `_EXPIRED`, `_ALREADY_USED` or `_MAX_ATTEMPTS_REACHED`.
    """
    text = text.lower()
    found = next((code for code in project.codes if code.code == text), None)
    attempts = found.attempts if found else 0
    for code in project.codes:  # whoever has the nonce may be guessing the rest
        if code.code[TYPED:] == text[TYPED:]:
            code.attempts += 1
    if found is None or found.kind != kind:
        raise known_error("VERIFICATION_CODE_NOT_FOUND")
    if found.expires_at <= project.now_millis():
        raise known_error("VERIFICATION_CODE_EXPIRED")
    if found.used:
        raise known_error("VERIFICATION_CODE_ALREADY_USED")
    if attempts >= _MAX_ATTEMPTS:
        raise known_error("VERIFICATION_CODE_MAX_ATTEMPTS_REACHED")
    return found


def use_code(project: Project, kind: CodeKind, text: str) -> VerificationCode:
    """As `find_code`; afterwards the code is used up, whatever comes of it."""
    code = find_code(project, kind, text)
    code.used = True
    return code


def with_code(url: str, code: str) -> str:
    """The link in an e-mail: a page's URL with the code as its parameter `code`."""
    parts = urlsplit(url)
    query = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name != "code"]
    return urlunsplit(parts._replace(query=urlencode([*query, ("code", code)])))
