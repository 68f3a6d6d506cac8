"""Claims that Hexclave would never sign, under its own signature: each case has one defect (contract section 2)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from .. import _minting
from .._minting import ABSENT, AUDIENCES, FLAGS, HOST, KINDS, PROJECT, TEAM, issuer
from .cast import EXPIRED, INVALID, KEYS, KIDS, NOW, OTHER_PROJECT, USER, VICTIM, Case, claims, signed

__all__ = ["contradictions", "names", "numbers", "types"]

_OPTIONAL: Final = {
    # claim: the wrong-looking values of `_wrong` that are right for it (contract section 2: "or null", old tokens)
    "name": {"absent", "null", "text", "empty text", "number in a text", "NUL"},
    "email": {"absent", "null", "text", "empty text", "number in a text", "NUL"},
    "email_verified": {"absent", "true", "false"},
    "requires_totp_mfa": {"absent", "true", "false"},
    "selected_team_id": {"absent", "null"},
    "signed_up_at": {"absent", "null", "0", "1"},
    "is_anonymous": {"false"},
    "is_restricted": {"absent", "false"},
    "restricted_reason": {"absent", "null"},
    "iat": {"0", "1"},
    "nbf": {"absent", "0", "1"},
    "jti": {"absent", "text", "empty text", "number in a text", "NUL"},
}


def _bent(name: str, value: Any) -> dict[str, Any]:
    return claims(**{name: value})


def _wrong(value: Any) -> dict[str, Any]:
    return {
        "absent": ABSENT,
        "null": None,
        "true": True,
        "false": False,
        "0": 0,
        "1": 1,
        "-1": -1,
        "float": 1.5,
        "huge number": 10**40,
        "text": "x",
        "empty text": "",
        "blank": " ",
        "number in a text": "1",
        "NUL": "\0",
        "array": [],
        "itself in an array": [value],
        "itself twice in an array": [value, value],
        "object": {},
        "itself in an object": {"value": value},
        "array in arrays": [[[]]],
    }


def types() -> Iterator[Case]:
    """Every claim missing, null, and of every other type."""
    whole = claims() | {"nbf": 0, "jti": "x"}
    for name, value in whole.items():
        fine = _OPTIONAL.get(name, set())
        if name in ("name", "email"):
            fine = fine | {"blank"}
        for kind, wrong in _wrong(value).items():
            code: str | None = None if kind in fine or (name == "jti" and kind == "blank") else INVALID
            if name == "exp" and kind in ("0", "1"):
                code = EXPIRED
            yield Case(f"{name} {kind}", signed(_bent(name, wrong)), code)
    for name in ("sub", "exp", "iss", "aud", "project_id", "is_anonymous", "role", "name", "x"):
        for order, pair in {"first": (VICTIM, whole.get(name)), "last": (whole.get(name), VICTIM)}.items():
            rest = json.dumps(_bent(name, ABSENT))[1:]
            text = "{" + "".join(f"{json.dumps(name)}:{json.dumps(value)}," for value in pair) + rest
            yield Case(f"{name} twice, foreign {order}", signed(text.encode()))
    escaped = json.dumps(claims())[:-1] + ',"\\u0073ub":"' + VICTIM + '"}'
    yield Case("sub twice, once in escapes", signed(escaped.encode()))


def numbers() -> Iterator[Case]:
    """Times that are no whole seconds, or not of this age; numbers that JSON does not have."""
    texts = {
        "NaN": "NaN",
        "Infinity": "Infinity",
        "-Infinity": "-Infinity",
        "1e400": "1e400",
        "-1e400": "-1e400",
        "float": f"{NOW + 600}.0",
        "fraction": f"{NOW + 600}.5",
        "exponent": "4e9",
        "negative": "-4000000000",
        "-0": "-0",
        "2**31": str(2**31),
        "2**63": str(2**63),
        "2**64": str(2**64),
        "milliseconds": str((NOW + 600) * 1000),
        "year 10000": "253402300800",
        "4,000 digits": "9" * 4000,
        "10,000 digits": "9" * 10_000,
        "text": f'"{NOW + 600}"',
        "plus": f"+{NOW + 600}",
        "leading zero": f"0{NOW + 600}",
        "hexadecimal": "0x7fffffff",
        "true": "true",
        "date": '"2099-01-01T00:00:00Z"',
        "1e5 as 1_0": "4_000_000_000",
        "Arabic digits": "\u0664" * 10,
        "comment": f"{NOW + 600}/**/",
        "nothing": "",
        "1.": "4000000000.",
        ".5": ".5",
        "undefined": "undefined",
    }
    mark = 987654321987
    for name in ("exp", "iat", "nbf", "signed_up_at"):
        whole = json.dumps(_bent(name, mark))
        for kind, text in texts.items():
            code: str | None = INVALID
            if kind == "2**31" and name in ("exp", "signed_up_at"):  # a moment like any other
                code = None
            elif kind == "-0" and name != "exp":
                code = None  # -0 is 0
            elif kind == "-0":
                code = EXPIRED
            yield Case(f"{name} {kind}", signed(whole.replace(str(mark), text).encode()), code)
    for name, changes, code in (
        ("exp a minute ago", {"exp": NOW - 60}, EXPIRED),
        ("exp before iat", {"iat": NOW - 10, "exp": NOW - 3600}, EXPIRED),
        ("iat in an hour", {"iat": NOW + 7200}, INVALID),
        ("nbf in an hour", {"nbf": NOW + 7200}, INVALID),
        ("exp a minute ago, of another issuer", {"exp": NOW - 60, "iss": "https://attacker.invalid"}, INVALID),
        ("exp a minute ago, of another project", {"exp": NOW - 60, "aud": _minting.OTHER_PROJECT}, OTHER_PROJECT),
    ):
        yield Case(name, signed(claims(**changes)), code)


def names() -> Iterator[Case]:
    """Issuers, audiences and ids that only look like the right ones."""
    right = issuer("regular")
    for name, text in {
        "trailing slash": f"{right}/",
        "two slashes": right.replace("/api/", "//api/"),
        "upper-case host": right.replace("api.hexclave", "API.HEXCLAVE"),
        "upper-case scheme": right.replace("https", "HTTPS"),
        "upper case": right.upper(),
        "http": right.replace("https", "http"),
        "no scheme": right.removeprefix("https:"),
        "port": right.replace(".com", ".com:443"),
        "other port": right.replace(".com", ".com:8443"),
        "root dot": right.replace(".com", ".com."),
        "userinfo": right.replace("https://", "https://x@"),
        "host as userinfo": right.replace("https://", "https://").replace(".com/", ".com@attacker.invalid/"),
        "longer host": right.replace(".com", ".com.attacker.invalid"),
        "prefixed host": right.replace("https://api", "https://notapi"),
        "parent host": right.replace("api.", ""),
        "homoglyph": right.replace("a", "\u0430", 1),
        "full-width dot": right.replace(".", "\uff0e"),
        "ideographic dot": right.replace(".", "\u3002"),
        "zero width": right.replace("hex", "hex\u200b"),
        "soft hyphen": right.replace("hex", "hex\u00ad"),
        "decomposed": right.replace("e", "e\u0301", 1),
        "NUL": f"{right}\0",
        "NUL and more": f"{right}\0.attacker.invalid",
        "space": f"{right} ",
        "line feed": f"{right}\n",
        "query": f"{right}?x=1",
        "fragment": f"{right}#x",
        "dots": right.replace("/projects", "/x/../projects"),
        "percent": right.replace("projects", "%70rojects"),
        "version 2": right.replace("/v1/", "/v2/"),
        "without version": right.replace("/v1", ""),
        "host alone": HOST,
        "path alone": right.removeprefix(HOST),
        "project upper case": right.replace(PROJECT, PROJECT.upper()),
        "other project": issuer("regular", project=_minting.OTHER_PROJECT),
        "no project": right.replace(PROJECT, ""),
        "legacy host of another stage": right.replace("api.hexclave", "api.dev.hexclave"),
        "localhost": right.replace("https://api.hexclave.com", "http://localhost:8102"),
        "of restricted users": issuer("restricted"),
        "of anonymous users": issuer("anonymous"),
    }.items():
        yield Case(f"iss {name}", signed(claims(iss=text)))
    for name, audience, code in (
        ("of another project", _minting.OTHER_PROJECT, OTHER_PROJECT),
        ("of another project, anonymous", f"{_minting.OTHER_PROJECT}:anon", OTHER_PROJECT),
        ("internal", "internal", OTHER_PROJECT),
        ("upper case", PROJECT.upper(), INVALID),
        ("of restricted users", AUDIENCES["restricted"], INVALID),
        ("of anonymous users", AUDIENCES["anonymous"], INVALID),
        ("unknown kind", f"{PROJECT}:admin", INVALID),
        ("empty kind", f"{PROJECT}:", INVALID),
        ("two kinds", f"{PROJECT}:anon:restricted", INVALID),
        ("upper-case kind", f"{PROJECT}:ANON", INVALID),
        ("space", f"{PROJECT} ", INVALID),
        ("two in a text", f"{PROJECT} {_minting.OTHER_PROJECT}", INVALID),
        ("in braces", f"{{{PROJECT}}}", INVALID),
        ("URN", f"urn:uuid:{PROJECT}", INVALID),
        ("without hyphens", PROJECT.replace("-", ""), INVALID),
        ("wildcard", "*", INVALID),
        ("NUL", f"{PROJECT}\0", INVALID),
        ("full-width", PROJECT.replace("0", "\uff10"), INVALID),
        ("both projects", [PROJECT, _minting.OTHER_PROJECT], INVALID),
    ):
        yield Case(f"aud {name}", signed(claims(aud=audience)), code)
    for claim in ("sub", "refresh_token_id", "selected_team_id"):
        for name, value in {
            "word": "admin",
            "SQL": "' OR 1=1 --",
            "path": "../me",
            "me": "me",
            "without hyphens": USER.replace("-", ""),
            "in braces": f"{{{USER}}}",
            "URN": f"urn:uuid:{USER}",
            "space": f"{USER} ",
            "line feed": f"{USER}\n",
            "NUL": f"{USER}\0",
            "two": USER * 2,
            "short": USER[:-1],
            "letter": f"g{USER[1:]}",
            "full-width": USER.replace("3", "\uff13"),
            "Arabic digit": f"\u0663{USER[1:]}",
            "number": 10**35,
            "percent": f"%{ord(USER[0]):02x}{USER[1:]}",
        }.items():
            yield Case(f"{claim} {name}", signed(_bent(claim, value)))
    for claim, values in {
        "project_id": ("internal", PROJECT.upper(), _minting.OTHER_PROJECT, f"{PROJECT} ", f"{PROJECT}:anon"),
        "branch_id": ("Main", "main ", "dev", "main\0", "m\u0430in"),
        "role": ("admin", "service_role", "anon", "Authenticated", "authenticated ", "authenticated,admin"),
    }.items():
        for text in values:
            yield Case(f"{claim} {text!a}", signed(_bent(claim, text)))
    for claim, legacy, other in (("refresh_token_id", "refreshTokenId", TEAM), ("branch_id", "branchId", "dev")):
        yield Case(f"{legacy} contradicts {claim}", signed(claims(**{legacy: other})))
        for shown, old in (("wrong", "x"), ("right", claims()[claim])):
            changes: dict[str, Any] = {claim: ABSENT, legacy: old}
            yield Case(f"{legacy} alone, {shown}", signed(claims(**changes)), INVALID if shown == "wrong" else None)
    for claim in ("Sub", "SUB", "sub ", "s\u0443b"):
        yield Case(f"{claim!a} for sub", signed(claims(sub=ABSENT, **{claim: USER})))
        yield Case(
            f"{claim!a} beside sub", signed(claims(**{claim: VICTIM})), None
        )  # another claim, and unknown ones are tolerated


def contradictions() -> Iterator[Case]:
    """Kinds of user that audience, issuer, flags and reason do not agree on."""
    for kind in KINDS:
        for other in KINDS:
            if other == kind:
                continue
            own = {"alg": "ES256", "kid": KIDS[kind]}
            for name, changes in {
                "audience": {"aud": AUDIENCES[other]},
                "issuer": {"iss": issuer(other)},
                "audience and issuer": {"aud": AUDIENCES[other], "iss": issuer(other)},
                "flags": FLAGS[other],
                "flags and audience": {**FLAGS[other], "aud": AUDIENCES[other]},
                "flags and issuer": {**FLAGS[other], "iss": issuer(other)},
            }.items():
                yield Case(f"{kind} with the {name} of {other}", signed(claims(kind, **changes), own, key=KEYS[kind]))
    anonymous = {"type": "anonymous"}
    for name, kind, changes in (
        ("anonymous and not restricted", "anonymous", {"is_restricted": False}),
        ("anonymous without reason", "anonymous", {"restricted_reason": None}),
        ("restricted without reason", "restricted", {"restricted_reason": None}),
        ("restricted, empty reason", "restricted", {"restricted_reason": {}}),
        ("restricted, reason a text", "restricted", {"restricted_reason": "anonymous"}),
        ("restricted, reason a list", "restricted", {"restricted_reason": [anonymous]}),
        ("restricted, type of reason a number", "restricted", {"restricted_reason": {"type": 1}}),
        ("restricted, type of reason null", "restricted", {"restricted_reason": {"type": None}}),
        ("restricted flag missing", "restricted", {"is_restricted": ABSENT}),
        ("regular with a reason", "regular", {"restricted_reason": anonymous}),
        ("regular and restricted", "regular", {"is_restricted": True}),
        ("regular and anonymous", "regular", {"is_anonymous": True}),
        ("anonymous flag missing", "anonymous", {"is_anonymous": ABSENT}),
        ("anonymous flag 1", "anonymous", {"is_anonymous": 1}),
        ("anonymous flag in a text", "anonymous", {"is_anonymous": "true"}),
        ("restricted flag 1", "restricted", {"is_restricted": 1}),
        ("regular, anonymous flag 0", "regular", {"is_anonymous": 0}),
        ("regular, anonymous flag null", "regular", {"is_anonymous": None}),
    ):
        yield Case(name, signed(claims(kind, **changes), {"alg": "ES256", "kid": KIDS[kind]}, key=KEYS[kind]))
