"""The configuration: where each setting comes from, what is refused, and that no secret shows."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import pytest

from hexclave_integrations import ConfigurationError, HexclaveConfig
from hexclave_integrations.telemetry import Observer

PROJECT = "e0b52f4d-dece-408c-af49-d23061bb0f8d"
OTHER = "957c1a9c-0c38-48ee-a054-044694e00dbe"
WHSEC_A, WHSEC_B, WHSEC_C = (f"whsec_{letter * 32}" for letter in "abc")
SECRETS = ("ssk_secret", "pck_secret", "whsec_secretsecretsecretsecret", "redis-password")


class AsyncObserver(Observer):
    """Nobody would await what its coroutine function returns."""

    async def refused(self, code: str) -> None:  # type: ignore[override]  # the mistake that is tested
        raise AssertionError(code)


def environ(**variables: str) -> dict[str, str]:
    """Variables with a project id beside them."""
    return {"HEXCLAVE_PROJECT_ID": PROJECT, **variables}


# Per setting: its default, a text in a variable and its value, and another text and its value.
SETTINGS: dict[str, tuple[object, str, object, str, object]] = {
    "project_id": ("", PROJECT, PROJECT, OTHER, OTHER),
    "secret_server_key": (None, "ssk_a", "ssk_a", "ssk_b", "ssk_b"),
    "publishable_client_key": (None, "pck_a", "pck_a", "pck_b", "pck_b"),
    "api_url": ("https://api.hexclave.com", "https://a.example/", "https://a.example", "https://b.example", None),
    "issuer_urls": (
        (),
        "https://a.example, https://b.example/",
        ("https://a.example", "https://b.example"),
        "https://c.example",
        ("https://c.example",),
    ),
    "accept_cookies": (False, "true", True, "off", False),
    "trusted_origins": (
        (),
        "https://app.example, HTTP://Localhost:5173,",
        ("https://app.example", "http://localhost:5173"),
        "capacitor://localhost",
        ("capacitor://localhost",),
    ),
    "leeway": (10, "5", 5.0, "0.5", 0.5),
    "jwks_max_age": (600, "60", 60.0, "61", 61.0),
    "jwks_max_stale": (86400, "7200", 7200.0, "7201", 7201.0),
    "jwks_cooldown": (30, "5", 5.0, "0", 0.0),
    "jwks_file": (None, "/a/keys", "/a/keys", "/b/keys", "/b/keys"),
    "http_timeout": (3, "1.5", 1.5, "2", 2.0),
    "permission_ttl": (60, "0", 0.0, "1", 1.0),
    "api_key_ttl": (60, "0", 0.0, "1", 1.0),
    "max_questions": (50, "5", 5.0, "200", 200.0),
    "api_key_header": ("x-api-key", "X-Team-Key", "x-team-key", "x-key", "x-key"),
    "token_cache_size": (4096, "0", 0, "10", 10),
    "webhook_secrets": (
        (),
        f"{WHSEC_A} {WHSEC_B}",
        (WHSEC_A, WHSEC_B),
        WHSEC_C,
        (WHSEC_C,),
    ),
    "redis_url": (None, "redis://a:1", "redis://a:1", "redis://b:1", "redis://b:1"),
}
each_setting = pytest.mark.parametrize("name", [pytest.param(name, id=name) for name in SETTINGS])


def test_the_table_of_this_file_has_every_setting() -> None:
    """A new setting without a row here fails."""
    assert {*SETTINGS, "transport", "observer"} == {field.name for field in dataclasses.fields(HexclaveConfig)}


@each_setting
def test_a_setting_has_its_default(name: str) -> None:
    """Without argument and variable the documented default holds."""
    default = PROJECT if name == "project_id" else SETTINGS[name][0]

    assert default == getattr(HexclaveConfig(project_id=PROJECT), name)
    assert default == getattr(HexclaveConfig.from_env(environ()), name)


@each_setting
@pytest.mark.parametrize("prefix", ["HEXCLAVE", "STACK"])
def test_a_setting_is_read_from_its_variable(name: str, prefix: str) -> None:
    """`HEXCLAVE_X` and the legacy `STACK_X` are both read."""
    _, text, value, _, _ = SETTINGS[name]
    variables = environ(**{f"{prefix}_{name.upper()}": f"  {text}\n"})

    assert value == getattr(HexclaveConfig.from_env(variables), name)


@each_setting
def test_the_new_variable_wins_over_the_legacy_one(name: str) -> None:
    """With both set, `HEXCLAVE_X` counts (contract section 8)."""
    _, text, value, other, _ = SETTINGS[name]
    variables = environ(**{f"HEXCLAVE_{name.upper()}": text, f"STACK_{name.upper()}": other})

    assert value == getattr(HexclaveConfig.from_env(variables), name)


@each_setting
@pytest.mark.parametrize("blank", [pytest.param("", id="empty"), pytest.param(" \t\n", id="blank")])
def test_a_blank_variable_counts_as_unset(name: str, blank: str) -> None:
    """A blank new variable lets the legacy one through; two blanks leave the default."""
    default, text, value, _, _ = SETTINGS[name]
    base = {} if name == "project_id" else environ()
    new, legacy = f"HEXCLAVE_{name.upper()}", f"STACK_{name.upper()}"

    assert value == getattr(HexclaveConfig.from_env({**base, new: blank, legacy: text}), name)
    if name != "project_id":
        assert default == getattr(HexclaveConfig.from_env({**base, new: blank, legacy: blank}), name)


@each_setting
def test_an_argument_wins_over_the_variables(name: str) -> None:
    """What the code says counts, whatever the environment says; None says nothing."""
    _, _, value, other, _ = SETTINGS[name]
    variables = environ(**{f"HEXCLAVE_{name.upper()}": other, f"STACK_{name.upper()}": other})

    assert value == getattr(HexclaveConfig.from_env(variables, **{name: value}), name)
    assert getattr(HexclaveConfig.from_env(variables), name) == getattr(
        HexclaveConfig.from_env(variables, **{name: None}), name
    )


def test_the_environment_of_the_process_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an argument `os.environ` is read, and only by `from_env`."""
    monkeypatch.setenv("HEXCLAVE_PROJECT_ID", PROJECT)
    monkeypatch.setenv("STACK_LEEWAY", "7")

    assert HexclaveConfig.from_env().leeway == 7
    assert HexclaveConfig(project_id=PROJECT).leeway == 10
    with pytest.raises(ConfigurationError, match="project_id is missing"):
        HexclaveConfig()


@pytest.mark.parametrize("variable", ["HEXCLAVE_WEBHOOK_SECRET", "STACK_WEBHOOK_SECRET"])
def test_a_single_webhook_secret_may_have_the_documented_name(variable: str) -> None:
    """Hexclave's documentation calls one secret `STACK_WEBHOOK_SECRET` (contract section 8)."""
    assert HexclaveConfig.from_env(environ(**{variable: WHSEC_A})).webhook_secrets == (WHSEC_A,)


def test_an_unknown_setting_is_a_type_error() -> None:
    """A misspelt keyword does not vanish."""
    with pytest.raises(TypeError, match="jwks_maximum_age"):
        HexclaveConfig.from_env(environ(), jwks_maximum_age=5)


NOT_NUMBERS: list[object] = ["10", None, True, [], float("nan"), float("inf"), float("-inf"), -1, 10**400, -(10**400)]
WRONG: dict[str, list[object]] = {
    "project_id": [
        *("", None, 5, b"internal", "my-project", f"{PROJECT}\n", f" {PROJECT}", PROJECT[:-1], PROJECT + "0"),
        *(PROJECT.replace("-", ""), f"{{{PROJECT}}}", PROJECT.replace("408c", "008c"), PROJECT.replace("408c", "908c")),
        *(PROJECT.replace("af49", "cf49"), f"{PROJECT}/..", "internal ", "ınternal", PROJECT.replace("0", "٠")),  # noqa: RUF001
    ],
    "secret_server_key": ["", " ", "ssk_a b", "ssk_a\n", "ssk_ä", "s" * 513, 5, b"ssk_a", "pck_a", "sak_a", ["ssk_a"]],
    "publishable_client_key": ["", "pck_a b", "ssk_a", "sak_a", 5, True],
    "api_url": ["", None, 5, b"https://a.example"],
    "issuer_urls": [
        None,
        5,
        "",
        [""],
        ["nonsense"],
        ["whsec_short"],
        [None],
        ["not a url"],
        {"https://a.example"},
        ["http://a.example"],
        {},
        False,
    ],
    "accept_cookies": ["true", 1, 0, None, "", []],
    "trusted_origins": [
        *(None, 5, "", [""], [None], {"https://a.example"}, False, b"https://a.example", [b"https://a.example"]),
        *("null", "*", "a.example", "//a.example", "https://", "https:", "https://*.a.example", "https://a.example/"),
        *("https://a.example/path", "https://a.example?", "https://a.example#", "https://u@a.example", "https://a:b@c"),
        *("https://a.example:", "https://a.example:0", "https://a.example:65536", "https://a.example:٤٤٣"),
        *("https://a.example https://b.example", "https://a.example,https://b.example", " https://a.example"),
        *("https://a.example\n", "https://ä.example", "https://::1", "https://[::1", "https:\\\\a.example", "1a://b"),
        ["https://a.example", "https://b.example/"],
    ],
    "leeway": [*NOT_NUMBERS, 300.1],
    "jwks_max_age": [*NOT_NUMBERS, 0, 86401],
    "jwks_max_stale": [*NOT_NUMBERS, 0, 599, 7 * 86400 + 1],
    "jwks_cooldown": [*NOT_NUMBERS, 3601],
    "jwks_file": ["", 5, b"/a/keys", "/a/keys/", "/a/\0keys", True],
    "http_timeout": [*NOT_NUMBERS, 0, 61],
    "permission_ttl": [*NOT_NUMBERS, 3601],
    "api_key_ttl": [*NOT_NUMBERS, 3601],
    "max_questions": [*NOT_NUMBERS, 0, 0.5, 100_001],
    "api_key_header": [
        *("", None, 5, "x_api_key", "x api", "x:api", "x-api\r\n", "-x", "ü", "Authorization", "COOKIE"),
        *("X-Stack-Access-Token", "x-hexclave-access-token", "x-stack-auth"),
    ],
    "token_cache_size": [*NOT_NUMBERS, 1.0, 1_000_001],
    "webhook_secrets": [
        None,
        5,
        "",
        [""],
        ["nonsense"],
        ["whsec_short"],
        [WHSEC_A, None],
        {WHSEC_A},
        False,
    ],
    "redis_url": ["", 5, b"redis://a", []],
    "transport": [5, "httpx", object()],
    "observer": [5, "otel", object(), Observer, AsyncObserver()],
}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param(name, value, id=f"{name}-{index}-{type(value).__name__}")
        for name, values in WRONG.items()
        for index, value in enumerate(values)
    ],
)
def test_a_wrong_value_stops_the_start(name: str, value: object) -> None:
    """The error names the setting and a fix, and both variables except for objects, which no variable can hold."""
    arguments: dict[str, Any] = {"project_id": PROJECT, name: value}

    with pytest.raises(ConfigurationError) as caught:
        HexclaveConfig(**arguments)

    message = str(caught.value)
    assert message.startswith(f"{name} ")
    assert ": " in message
    is_object = name in ("transport", "observer")
    assert is_object or f"HEXCLAVE_{name.upper()}" in message
    assert is_object or f"STACK_{name.upper()}" in message


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        pytest.param("HEXCLAVE_PROJECT_ID", "my-project", id="project"),
        pytest.param("STACK_ACCEPT_COOKIES", "maybe", id="boolean"),
        pytest.param("HEXCLAVE_ACCEPT_COOKIES", "2", id="boolean-two"),
        pytest.param("HEXCLAVE_LEEWAY", "ten", id="word"),
        pytest.param("HEXCLAVE_LEEWAY", "10s", id="unit"),
        pytest.param("HEXCLAVE_LEEWAY", "nan", id="nan"),
        pytest.param("HEXCLAVE_LEEWAY", "1e400", id="infinite"),
        pytest.param("HEXCLAVE_TOKEN_CACHE_SIZE", "10.5", id="fraction"),
        pytest.param("HEXCLAVE_TOKEN_CACHE_SIZE", "9" * 5000, id="digits"),
        pytest.param("STACK_SECRET_SERVER_KEY", "pck_a", id="key-of-another-kind"),
        pytest.param("HEXCLAVE_API_URL", "auth.example.org", id="no-scheme"),
        pytest.param("HEXCLAVE_ISSUER_URLS", "https://a.example;https://b.example", id="semicolons"),
        pytest.param("STACK_ISSUER_URLS", "https://a.example|https://b.example", id="bars"),
    ],
)
def test_a_wrong_variable_stops_the_start(variable: str, text: str) -> None:
    """The error names both variables, whichever was set, and not their content."""
    name = variable.partition("_")[2]

    with pytest.raises(ConfigurationError, match=f"HEXCLAVE_{name} .*STACK_{name}") as caught:
        HexclaveConfig.from_env(environ() | {variable: text})

    assert len(text) < 5 or text not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *(pytest.param(text, True, id=text) for text in ("1", "true", "TRUE", "yes", "On")),
        *(pytest.param(text, False, id=text) for text in ("0", "false", "False", "no", "OFF")),
    ],
)
def test_a_boolean_variable_has_the_usual_words(text: str, expected: bool) -> None:
    """Cookies are accepted only by a word that means yes."""
    assert expected is HexclaveConfig.from_env(environ(HEXCLAVE_ACCEPT_COOKIES=text)).accept_cookies


def test_old_keys_serve_at_least_as_long_as_fresh_ones() -> None:
    """`jwks_max_stale` below `jwks_max_age` contradicts itself; equal is allowed."""
    assert HexclaveConfig(project_id=PROJECT, jwks_max_age=600, jwks_max_stale=600).jwks_max_stale == 600
    with pytest.raises(ConfigurationError, match="jwks_max_stale is less than jwks_max_age"):
        HexclaveConfig(project_id=PROJECT, jwks_max_age=601, jwks_max_stale=600)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(PROJECT.upper(), PROJECT, id="upper-case"),
        pytest.param("internal", "internal", id="internal"),
        pytest.param("00000000-0000-1000-0000-000000000000", "00000000-0000-1000-0000-000000000000", id="variant-0"),
    ],
)
def test_a_project_id_is_a_uuid_or_internal(value: str, expected: str) -> None:
    """As Hexclave's own SDK has it, in lower case."""
    assert expected == HexclaveConfig(project_id=value).project_id


# --- secrets ------------------------------------------------------------------------------------------------


def test_no_secret_is_shown() -> None:
    """Neither repr nor str has a key, a webhook secret or a password."""
    config = HexclaveConfig(
        project_id=PROJECT,
        secret_server_key=SECRETS[0],
        publishable_client_key=SECRETS[1],
        webhook_secrets=(SECRETS[2],),
        redis_url=f"redis://:{SECRETS[3]}@localhost",
    )

    for text in (repr(config), str(config), f"{config}", repr([config])):
        assert [secret for secret in SECRETS if secret in text] == []
        assert PROJECT in text


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param({"secret_server_key": "pck_verysecretvalue"}, id="client-key-as-server-key"),
        pytest.param({"secret_server_key": "sak_verysecretvalue"}, id="admin-key-as-server-key"),
        pytest.param({"publishable_client_key": "ssk_verysecretvalue"}, id="server-key-as-client-key"),
        pytest.param({"secret_server_key": "ssk_verysecretvalue\n"}, id="key-with-line-feed"),
        pytest.param({"project_id": "ssk_verysecretvalue"}, id="key-as-project"),
        pytest.param({"api_url": "https://user:verysecretvalue@api.hexclave.com"}, id="password-in-url"),
        pytest.param({"api_url": "https://api.hexclave.com?key=verysecretvalue"}, id="key-in-query"),
        pytest.param({"api_url": "http://verysecretvalue.example"}, id="insecure-url"),
        pytest.param({"api_url": "https://[verysecretvalue"}, id="broken-url"),
        pytest.param({"api_url": "https://a.example:verysecretvalue"}, id="broken-port"),
        pytest.param({"issuer_urls": ["https://u:verysecretvalue@a.example"]}, id="password-in-issuer"),
        pytest.param({"webhook_secrets": ["verysecretvalue", ""]}, id="webhook-secrets"),
        pytest.param({"webhook_secrets": {"verysecretvalue"}}, id="webhook-secrets-type"),
        pytest.param({"redis_url": b"redis://:verysecretvalue@a"}, id="redis-type"),
        pytest.param({"api_key_header": "verysecretvalue\n"}, id="header"),
        pytest.param({"leeway": "verysecretvalue"}, id="number"),
        pytest.param({"accept_cookies": "verysecretvalue"}, id="boolean"),
    ],
)
def test_no_error_repeats_a_value(arguments: dict[str, Any]) -> None:
    """A value in the wrong place may be a secret: not even the chain of causes holds it."""
    with pytest.raises(ConfigurationError) as caught:
        HexclaveConfig(**{"project_id": PROJECT} | arguments)

    assert "verysecretvalue" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None or caught.value.__suppress_context__


def test_the_server_key_is_asked_for_by_purpose() -> None:
    """Whatever needs the key says so when it is missing."""
    assert HexclaveConfig(project_id=PROJECT, secret_server_key="ssk_a").require_server_key("a check") == "ssk_a"
    with pytest.raises(ConfigurationError, match=r"missing, and a check needs it: .*HEXCLAVE_SECRET_SERVER_KEY"):
        HexclaveConfig(project_id=PROJECT).require_server_key("a check")


# --- URLs ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        pytest.param("https://api.hexclave.com", "https://api.hexclave.com", id="cloud"),
        pytest.param("https://api.hexclave.com/", "https://api.hexclave.com", id="slash"),
        pytest.param("https://api.hexclave.com///", "https://api.hexclave.com", id="slashes"),
        pytest.param("HTTPS://API.Hexclave.COM", "https://api.hexclave.com", id="case"),
        pytest.param("https://api.hexclave.com:443", "https://api.hexclave.com", id="default-port"),
        pytest.param("https://auth.example:8443", "https://auth.example:8443", id="port"),
        pytest.param("https://auth.example/Sub/Path/", "https://auth.example/Sub/Path", id="path"),
        pytest.param("http://localhost", "http://localhost", id="localhost"),
        pytest.param("http://LOCALHOST:8102/", "http://localhost:8102", id="localhost-port"),
        pytest.param("http://localhost:80", "http://localhost", id="localhost-default-port"),
        pytest.param("http://127.0.0.1:1", "http://127.0.0.1:1", id="ipv4-loopback"),
        pytest.param("http://127.255.255.254", "http://127.255.255.254", id="ipv4-loopback-other"),
        pytest.param("http://[::1]:8102", "http://[::1]:8102", id="ipv6-loopback"),
        pytest.param("https://[2001:db8::1]", "https://[2001:db8::1]", id="ipv6"),
        pytest.param("https://localhost:443", "https://localhost", id="https-loopback"),
    ],
)
def test_a_url_is_secure_or_of_this_machine(url: str, expected: str) -> None:
    """https anywhere, http on loopback; case, default port and trailing slashes are no difference."""
    assert expected == HexclaveConfig(project_id=PROJECT, api_url=url).api_url
    assert (expected,) == HexclaveConfig(project_id=PROJECT, issuer_urls=[url]).issuer_urls  # type: ignore[arg-type]


REFUSED_URLS: list[Any] = [
    pytest.param("http://api.hexclave.com", id="http"),
    pytest.param("http://localhost.evil.com", id="localhost-as-prefix"),
    pytest.param("http://evil-localhost", id="localhost-as-suffix"),
    pytest.param("http://localhost.", id="localhost-root-dot"),
    pytest.param("http://127.0.0.1.evil.com", id="loopback-as-prefix"),
    pytest.param("http://127.0.0.1.nip.io", id="loopback-by-dns"),
    pytest.param("http://1127.0.0.1", id="loopback-as-suffix"),
    pytest.param("http://127.1", id="short-loopback"),
    pytest.param("http://2130706433", id="decimal-loopback"),
    pytest.param("http://0x7f000001", id="hex-loopback"),
    pytest.param("http://0177.0.0.1", id="octal-loopback"),
    pytest.param("http://0.0.0.0", id="any-address"),
    pytest.param("http://10.0.0.1", id="private-address"),
    pytest.param("http://169.254.169.254", id="metadata-service"),
    pytest.param("http://[::]", id="any-address-6"),
    pytest.param("http://[::ffff:127.0.0.1]", id="mapped-loopback"),
    pytest.param("http://[::1%25lo]", id="zone"),
    pytest.param("http://localhost@evil.com", id="localhost-as-user"),
    pytest.param("http://127.0.0.1:80@evil.com", id="loopback-as-user"),
    pytest.param("http://localhost\\@evil.com", id="backslash"),
    pytest.param("http://evil.com\\.localhost", id="backslash-host"),
    pytest.param("http://evil.com#localhost", id="fragment"),
    pytest.param("http://evil.com?localhost", id="query"),
    pytest.param("https://user@api.hexclave.com", id="user"),
    pytest.param("https://@api.hexclave.com", id="empty-user"),
    pytest.param("https://api.hexclave.com?", id="empty-query"),
    pytest.param("https://api.hexclave.com#", id="empty-fragment"),
    pytest.param("https://api.hexclave.com\\", id="trailing-backslash"),
    pytest.param("https://api.hexclave.com\n", id="line-feed"),
    pytest.param("https://api.hexclave\t.com", id="tab"),
    pytest.param("https://api.hexclave.com\x00", id="nul"),
    pytest.param("https://api.hexclave.com\x7f", id="delete"),
    pytest.param(" https://api.hexclave.com", id="space"),
    pytest.param("https://api.hexclavé.com", id="unicode"),
    pytest.param("https://api。hexclave.com", id="ideographic-dot"),
    pytest.param("http://ⓛocalhost", id="compatibility-letter"),
    pytest.param("https://api.hexclave.com:99999", id="port-too-large"),
    pytest.param("https://api.hexclave.com:x", id="port-no-number"),
    pytest.param("https://[::1", id="open-bracket"),
    pytest.param("https://api.hexclave.com%00.evil.com", id="percent-nul"),
    pytest.param("https://api.hexclave.com%2eevil.com", id="percent-dot"),
    pytest.param("https://api.hexclave.com;https://b.example", id="two-with-semicolon"),
    pytest.param("https://*.hexclave.com", id="wildcard"),
    pytest.param("https://[::1%25lo]", id="zone-https"),
    pytest.param("https://", id="no-host"),
    pytest.param("https:///path", id="empty-host"),
    pytest.param("https://:443", id="port-only"),
    pytest.param("//api.hexclave.com", id="no-scheme"),
    pytest.param("api.hexclave.com", id="host-only"),
    pytest.param("ftp://api.hexclave.com", id="ftp"),
    pytest.param("file:///etc/passwd", id="file"),
    pytest.param("javascript:alert(1)", id="javascript"),
    pytest.param("unix:/run/x.sock", id="unix"),
    pytest.param("https://api.hexclave.com/api/v1", id="api-path"),
    pytest.param("https://api.hexclave.com/api/v1/", id="api-path-slash"),
    pytest.param("https://api.hexclave.com/api/v1/projects/x", id="issuer"),
    pytest.param("https://api.hexclave.com/api/latest", id="api-latest"),
]


@pytest.mark.parametrize("url", REFUSED_URLS)
def test_any_other_url_is_refused(url: str) -> None:
    """Look-alikes of loopback, tricks with user names and characters, and whole API paths."""
    for arguments in ({"api_url": url}, {"issuer_urls": (url,)}):
        with pytest.raises(ConfigurationError, match=r"api_url|issuer_urls"):
            HexclaveConfig(project_id=PROJECT, **arguments)


NEW, OLD = "https://api.hexclave.com", "https://api.stack-auth.com"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        pytest.param(NEW, (NEW, OLD), id="cloud"),
        pytest.param(OLD, (NEW, OLD), id="legacy-cloud"),
        pytest.param("HTTPS://API.STACK-AUTH.COM:443/", (NEW, OLD), id="another-spelling"),
        pytest.param("https://api1.hexclave.com", (NEW, OLD), id="fallback-1"),
        pytest.param("https://api2.stack-auth.com", (NEW, OLD), id="fallback-2"),
        pytest.param(
            "https://api.dev.hexclave.com", ("https://api.dev.hexclave.com", "https://api.dev.stack-auth.com"), id="dev"
        ),
        pytest.param(
            "https://api1.staging.stack-auth.com",
            ("https://api.staging.hexclave.com", "https://api.staging.stack-auth.com"),
            id="staging",
        ),
        pytest.param("https://api3.hexclave.com", ("https://api3.hexclave.com",), id="no-such-fallback"),
        pytest.param("https://hexclave.com", ("https://hexclave.com",), id="no-api-host"),
        pytest.param("https://api.hexclave.com.", ("https://api.hexclave.com.",), id="root-dot"),
        pytest.param("https://api.hexclave.com:8443", ("https://api.hexclave.com:8443",), id="another-port"),
        pytest.param("https://api.hexclave.com/x", ("https://api.hexclave.com/x",), id="with-a-path"),
        pytest.param("https://api.hexclave.com.evil.com", ("https://api.hexclave.com.evil.com",), id="cloud-as-prefix"),
        pytest.param("https://evil-api.hexclave.com", ("https://evil-api.hexclave.com",), id="cloud-as-suffix"),
        pytest.param("https://api-hexclave.com", ("https://api-hexclave.com",), id="no-dot"),
        pytest.param("https://apixhexclave.com", ("https://apixhexclave.com",), id="any-character-for-the-dot"),
        pytest.param("https://api.devxhexclave.com", ("https://api.devxhexclave.com",), id="and-for-the-other-dot"),
        pytest.param("https://api.hexclavexcom", ("https://api.hexclavexcom",), id="and-for-the-last-dot"),
        pytest.param("https://auth.example/h", ("https://auth.example/h",), id="self-hosted"),
        pytest.param(
            "http://localhost:8102",
            ("http://localhost:8102", "http://127.0.0.1:8102", "http://[::1]:8102"),
            id="loopback",
        ),
        pytest.param("http://[::1]", ("http://[::1]", "http://localhost", "http://127.0.0.1"), id="loopback-bare"),
        pytest.param(
            "https://127.0.0.1:8443/h",
            ("https://127.0.0.1:8443/h", "https://localhost:8443/h", "https://[::1]:8443/h"),
            id="loopback-https",
        ),
        pytest.param("http://127.0.0.2:8102", ("http://127.0.0.2:8102",), id="another-loopback-address"),
        pytest.param("https://localhost.evil.com", ("https://localhost.evil.com",), id="localhost-as-prefix"),
        pytest.param("https://evil-localhost:8102", ("https://evil-localhost:8102",), id="localhost-as-suffix"),
        pytest.param("https://localhost.", ("https://localhost.",), id="localhost-root-dot"),
    ],
)
def test_issuers_follow_from_the_api_url(url: str, expected: tuple[str, ...]) -> None:
    """Both hosts of the cloud for a cloud host, the three names of loopback for one of them, else only its own."""
    assert expected == HexclaveConfig(project_id=PROJECT, api_url=url).issuer_bases


def test_more_issuers_can_be_added() -> None:
    """Extras come after the own ones, each once; a cloud host among them brings no sibling."""
    extras = ("https://old.example/", NEW, "https://old.example")
    config = HexclaveConfig(project_id=PROJECT, api_url="https://auth.example", issuer_urls=extras)

    assert config.issuer_bases == ("https://auth.example", "https://old.example", NEW)


def test_extra_issuer_on_loopback_stands_for_itself() -> None:
    """Only the API's own address has other names."""
    extra = "http://localhost:8102"
    config = HexclaveConfig(project_id=PROJECT, api_url="https://auth.example", issuer_urls=(extra,))

    assert config.issuer_bases == ("https://auth.example", extra)


# --- a value ------------------------------------------------------------------------------------------------


def test_a_configuration_is_a_frozen_value() -> None:
    """It cannot change under a running client; a changed copy is validated like a new one."""
    config = HexclaveConfig(project_id=PROJECT, webhook_secrets=[WHSEC_A])  # type: ignore[arg-type]  # lists work

    with pytest.raises(dataclasses.FrozenInstanceError):
        config.leeway = 5  # type: ignore[misc]  # that is the point
    with pytest.raises((AttributeError, TypeError)):
        config.other = 5  # type: ignore[attr-defined]  # that is the point
    assert config.webhook_secrets == (WHSEC_A,)
    assert config == copy.copy(config)
    assert hash(config) == hash(copy.deepcopy(config))
    assert dataclasses.replace(config, leeway=5).leeway == 5
    with pytest.raises(ConfigurationError):
        dataclasses.replace(config, leeway=-5)


def test_settings_are_given_by_name() -> None:
    """No position means anything."""
    with pytest.raises(TypeError):
        HexclaveConfig(PROJECT)  # type: ignore[call-arg]  # that is the point


def test_a_transport_is_whatever_can_send() -> None:
    """A synchronous or an asynchronous transport is taken as it is, and is no part of equality."""

    class Transport:
        def handle_request(self, request: object, /) -> object:
            return request

    transport = Transport()
    config = HexclaveConfig(project_id=PROJECT, transport=transport)

    assert transport is config.transport
    assert HexclaveConfig(project_id=PROJECT) == config


def test_trusted_origins_are_kept_as_browsers_write_them() -> None:
    """In lower case and without a default port, so that they equal what comes in `Origin`."""
    given = ["HTTPS://App.Example:443", "http://app.example:80", "http://[::1]:8000", "https://xn--bcher-kva.example"]
    config = HexclaveConfig(project_id=PROJECT, trusted_origins=given)  # type: ignore[arg-type]  # a list does as well

    assert config.trusted_origins == (
        "https://app.example",
        "http://app.example",
        "http://[::1]:8000",
        "https://xn--bcher-kva.example",
    )
