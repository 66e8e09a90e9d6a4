"""Where everything is: each address decided once, and who decided it.

Order: environment variable > `.env` > a running desk (`<data>/desk.json`) > default. An empty value is an unset one.
A variable that starts with PAPERDESK_, or any key of `.env`, that is not listed here is an error, never ignored.
Nothing is written into os.environ.
"""

import difflib
import functools
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import environ

from paperdesk.embedded.desk_file import running_desk
from paperdesk.errors import ConfigurationError

BASE_DIR = Path(__file__).resolve().parent.parent
PREFIX = "PAPERDESK_"
ENV_FILE = "PAPERDESK_ENV_FILE"

KNOWN = frozenset({
    "DATABASE_URL", "REDIS_URL", "CLICKHOUSE_URL", "CLICKHOUSE_CLUSTER", "DUCKDB_PATH",
    "SECRET_KEY", "DEBUG", "ALLOWED_HOSTS", "CSRF_TRUSTED_ORIGINS",
    "PAPERDESK_DATA", "PAPERDESK_FEED", "PAPERDESK_MARKET_DATA", "PAPERDESK_LOG", "PAPERDESK_METRICS_TOKEN",
    "PAPERDESK_RETAIN_HOURS", "PAPERDESK_HOT_HASHES_MAX", "PAPERDESK_ARCHIVE_DAYS",
    "PAPERDESK_TABLES_DAYS",
})  # fmt: skip

BY_VARIABLE = "environment variable"
BY_FILE = ".env"
BY_DESK = "running desk"
BY_DEFAULT = "default"

ASSIGNMENT = re.compile(r"(?:export )?[A-Za-z_0-9]+=")  # what django-environ reads: no blanks around the =
PASSWORD = re.compile(r"^([a-z]+://[^/@:]*):.*@")  # up to the last @: one with a slash in it is no good, but secret
TRUE_WORDS = frozenset({"1", "true", "yes", "on"})
DAYS_MAX = 36_500
FALSE_WORDS = frozenset({"0", "false", "no", "off"})


class UnknownSetting(ConfigurationError):
    """A setting that nobody reads, most likely a misspelt one."""


@dataclass(frozen=True)
class Decision:
    """A value in the form that programs use, and what decided it."""

    value: str
    decided_by: str


@dataclass(frozen=True)
class Environment:
    """The sources of settings, in falling rank."""

    variables: Mapping[str, str]
    dotenv: Mapping[str, str]
    desk: Mapping[str, str]

    def decide(self, name: str, default: str = "") -> Decision:
        """Return the value of `name` from the first source that has a non-empty one."""
        sources = ((BY_VARIABLE, self.variables), (BY_FILE, self.dotenv), (BY_DESK, self.desk))
        for decided_by, source in sources:
            if value := source.get(name, "").strip():
                return Decision(value, decided_by)
        return Decision(default, BY_DEFAULT)

    def text(self, name: str, default: str = "") -> str:
        """Return the text of a setting."""
        return self.decide(name, default).value

    def flag(self, name: str, default: bool = False) -> bool:
        """Return a yes-or-no setting. Raises ConfigurationError when the word is neither."""
        word = self.text(name, "yes" if default else "no").lower()
        if word not in TRUE_WORDS | FALSE_WORDS:
            raise ConfigurationError(f"{name} is {word!r}; it must be one of 1, 0, true, false, yes, no, on, off")
        return word in TRUE_WORDS

    def number(self, name: str, default: int) -> int:
        """Return a setting that is a whole number, 0 or more. Raises ConfigurationError when it is none."""
        text = self.text(name, str(default))
        if not text.isdecimal():
            raise ConfigurationError(f"{name} is {text!r}; it must be a whole number, 0 or more")
        return int(text)

    def days(self, name: str, default: int) -> int:
        """Return a setting that is a number of days. Raises ConfigurationError for anything else."""
        text = self.text(name, str(default))
        if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= DAYS_MAX:
            raise ConfigurationError(f"{name} is {text!r}; it must be a whole number of days from 1 to {DAYS_MAX}")
        return int(text)

    def words(self, name: str, default: str = "") -> list[str]:
        """Return a comma-separated setting as a list."""
        return [word.strip() for word in self.text(name, default).split(",") if word.strip()]

    @property
    def data(self) -> Path:
        """The data folder, absolute; a relative one counts from the repository."""
        return (BASE_DIR / self.text("PAPERDESK_DATA", "var")).resolve()

    def made_data(self) -> Path:
        """The data folder, made if it is not there. Raises ConfigurationError where nothing can be written."""
        try:
            self.data.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(f"the data folder {self.data} cannot be made: {error.strerror}") from None
        if not os.access(self.data, os.R_OK | os.W_OK | os.X_OK):
            raise ConfigurationError(f"the data folder {self.data} cannot be written to")
        return self.data

    def decisions(self) -> dict[str, Decision]:
        """Return the five addresses that `showenv` shows, by its key names."""
        data = self.data
        return {
            "redis_url": self.decide("REDIS_URL"),
            "clickhouse_url": self.decide("CLICKHOUSE_URL"),
            "duckdb_path": self.decide("DUCKDB_PATH", str(data / "paperdesk.duckdb")),
            "database_url": self.decide("DATABASE_URL", f"sqlite:///{data}/paperdesk.sqlite3"),
            "data": Decision(str(data), self.decide("PAPERDESK_DATA").decided_by),
        }


def read_environment(variables: Mapping[str, str]) -> Environment:
    """Read all sources. Raises UnknownSetting for a name that is not ours."""
    file = Path(variables.get(ENV_FILE) or BASE_DIR / ".env")
    dotenv = _read_dotenv(file)
    _refuse_unknown((name for name in variables if name.startswith(PREFIX)), "the environment")
    _refuse_unknown(dotenv, str(file))
    found = Environment(variables, dotenv, {})
    desk = running_desk(found.data)
    return Environment(variables, dotenv, desk.addresses if desk else {})


@functools.cache
def current() -> Environment:
    """The environment of this process, read once."""
    return read_environment(os.environ)


def decisions() -> dict[str, Decision]:
    """What `showenv` prints: the addresses of this process."""
    return current().decisions()


def service_url(redis_url: str) -> str:
    """Return the next database of the same Redis server, for cache, broker and channels; "" for "".

    They get a database of their own because emptying the cache is FLUSHDB. Raises ConfigurationError for an
    address that is not redis://host:port/number.
    """
    if not redis_url:
        return ""
    number = urlsplit(redis_url).path.strip("/") or "0" if is_address(redis_url, "redis", "rediss") else ""
    if not number.isdigit():
        raise ConfigurationError(f"REDIS_URL is {masked(redis_url)!r}; it must look like redis://host:6379/0")
    parts = urlsplit(redis_url)
    return urlunsplit(parts._replace(path=f"/{int(number) + 1}"))


def http_url(name: str, url: str) -> str:
    """Return `url` if it is empty or an HTTP one with a host; raise ConfigurationError naming the setting if not."""
    if url and not (is_address(url, "http", "https") and urlsplit(url).hostname):
        raise ConfigurationError(
            f"{name} is {masked(url)!r}; it must look like http://user:password@host:8123/paperdesk"
        )
    return url


def is_address(url: str, *schemes: str) -> bool:
    """Tell whether `url` has one of the schemes and, if it names a port, one that can be."""
    try:
        parts = urlsplit(url)
        return parts.scheme in schemes and parts.port != 0
    except ValueError:
        return False


def masked(url: str) -> str:
    """Return an address, or what was meant to be one, without its password, for people's eyes."""
    return PASSWORD.sub(r"\1:***@", url)


def _read_dotenv(file: Path) -> dict[str, str]:
    values: dict[str, str] = {}
    if file.is_file():
        _refuse_garbled(file)

        class DotEnv(environ.Env):
            """django-environ writes what it reads into this, by default os.environ."""

            ENVIRON = values

        DotEnv.read_env(str(file))
    return values


def _refuse_garbled(file: Path) -> None:
    """django-environ only warns of a line that it cannot read, and the setting would be overlooked."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ConfigurationError(f"{file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{file}: not a text file in UTF-8") from None
    for number, line in enumerate(lines, 1):
        if line.strip() and not line.lstrip().startswith("#") and not ASSIGNMENT.match(line):
            raise ConfigurationError(f"{file}: line {number}: not of the form NAME=value")


def _refuse_unknown(names: Iterable[str], where: str) -> None:
    for name in sorted(set(names) - KNOWN - {ENV_FILE}):
        near = difflib.get_close_matches(name, KNOWN, n=1, cutoff=0.0)[0]
        raise UnknownSetting(f"{where} sets {name}, which PaperDesk does not know; did you mean {near}?")
