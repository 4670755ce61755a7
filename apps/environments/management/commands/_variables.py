"""The verbs `variable` and `secret` of `manage.py environment`.

Values of secrets come by standard input, a prompt without echo or a file, and never by an argument: arguments stand in
the list of processes and in the shell's history.
"""

from __future__ import annotations

import getpass
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.views.decorators.debug import sensitive_variables

from apps.accounts import policy
from apps.accounts.actors import for_command
from apps.accounts.console import WELL, add_account, add_json, print_json, print_rows, say
from apps.common.errors import FlowControlError
from apps.environments import keys, variables
from apps.environments.models import Environment, Secret, Variable
from apps.environments.variables import REFERENCE, VariableInvalid


def add_arguments(verbs: Any) -> None:
    """Add `variable` and `secret` to the verbs of a command. Each sets `act`, which takes the options and returns the
    exit status."""
    variable = _group(verbs, "variable", "variables that the environment's compose project is given")
    each = _verb(variable, "set", "set a variable: to a text, or by secret:NAME to a secret", set_variable)
    each.add_argument("environment", metavar="ENV")
    each.add_argument("name", metavar="NAME")
    each.add_argument("value", metavar="VALUE", nargs="?", help="or in one word: NAME=VALUE")
    each = _verb(variable, "unset", "take a variable away", unset_variable)
    each.add_argument("environment", metavar="ENV")
    each.add_argument("name", metavar="NAME")
    _verb(variable, "list", "variables, and which secrets they refer to", list_variables).add_argument(
        "environment", metavar="ENV"
    )
    _add_secrets(_group(verbs, "secret", "values that can be set and used, and never be read"))


def _add_secrets(secret: Any) -> None:
    each = _verb(secret, "set", "set a secret from standard input, a prompt or a file", set_secret)
    each.add_argument("environment", metavar="ENV")
    each.add_argument("name", metavar="NAME")
    each.add_argument("--from-file", metavar="FILE", help="read the value from this file")
    each.add_argument("refused", nargs="*", help="nothing: a value is never an argument")
    each.add_argument("--value", dest="refused_too", help="refused, for the same reason")
    each = _verb(secret, "delete", "take a secret away", delete_secret)
    each.add_argument("environment", metavar="ENV")
    each.add_argument("name", metavar="NAME")
    _verb(secret, "list", "which secrets are set, by whom and when", list_secrets).add_argument(
        "environment", metavar="ENV"
    )
    each = _verb(secret, "rotate", "encrypt all secrets under a new key", rotate)
    each.add_argument("--retire", action="store_true", help="then throw away the keys that no secret needs")
    _verb(secret, "new-key", "print a new key for SECRETS_KEYS", new_key)


def _act(options: dict[str, Any]) -> int:
    status: int = options["act"](options)
    return status


VERBS = {"variable": _act, "secret": _act}


def _group(verbs: Any, name: str, text: str) -> Any:
    return verbs.add_parser(name, help=text, description=text).add_subparsers(
        dest="what", required=True, metavar="COMMAND"
    )


def _verb(verbs: Any, name: str, text: str, act: Any) -> ArgumentParser:
    parser: ArgumentParser = verbs.add_parser(name, help=text, description=text)
    add_json(parser)
    add_account(parser)
    parser.set_defaults(act=act)
    return parser


# --- variables -------------------------------------------------------------------------------------


def set_variable(options: dict[str, Any]) -> int:
    environment, by = _environment(options), for_command(options["account"])
    name, value = options["name"], options["value"]
    if value is None:
        name, sign, value = name.partition("=")
        if not sign:
            raise VariableInvalid(f"{name} is to be set to what?", hint="Write NAME VALUE, or NAME=VALUE.")
    row = variables.set_variable(by=by, environment=environment, name=name, value=value)
    text = f"{row.name} of {environment.slug} is {'the secret ' + row.reference if row.reference else 'set'}."
    return _tell(options, environment, {"variable": _variable(row)}, text, "The next `environment up` uses it.")


def unset_variable(options: dict[str, Any]) -> int:
    environment, by = _environment(options), for_command(options["account"])
    variables.unset_variable(by=by, environment=environment, name=options["name"])
    return _tell(
        options, environment, {"unset": options["name"]}, f"{environment.slug} has no {options['name']} any more."
    )


def list_variables(options: dict[str, Any]) -> int:
    environment = _environment(options)
    policy.check(for_command(options["account"]), "environments.variables", environment.slug)
    rows = list(variables.variables(environment))
    if options["json"]:
        return _tell(options, environment, {"variables": [_variable(row) for row in rows]})
    cells = [
        (each.name, REFERENCE + each.reference if each.reference else _line(each.value), *_changed(each))
        for each in rows
    ]
    print_rows(("VARIABLE", "VALUE", "CHANGED", "BY"), cells)
    return WELL


def _variable(row: Variable) -> dict[str, Any]:
    return {
        "name": row.name,
        "value": None if row.reference else row.value,
        "secret": row.reference or None,
        "changed_at": row.changed_at.isoformat(),
        "changed_by": row.changed_by,
    }


# --- secrets ---------------------------------------------------------------------------------------


@sensitive_variables("value")
def set_secret(options: dict[str, Any]) -> int:
    if options["refused"] or options["refused_too"] is not None:
        raise VariableInvalid(
            "The value of a secret is never an argument: everybody on this machine can read it in the list of processes, "
            "and the shell keeps it in its history.",
            hint="Pipe it in, or leave it out and type it at the prompt, or name a file: --from-file FILE. "
            "Count the value that you have just typed as known, and choose another.",
        )
    environment, by = _environment(options), for_command(options["account"])
    policy.check(by, "environments.secrets", environment.slug)  # before anybody types anything
    value = _value(options)
    row = variables.set_secret(by=by, environment=environment, name=options["name"], value=value)
    text = (
        f"The secret {row.name} of {environment.slug} is set: {row.length} characters, fingerprint {row.fingerprint}."
    )
    return _tell(options, environment, {"secret": _secret(row)}, text, "The next `environment up` uses it.")


def delete_secret(options: dict[str, Any]) -> int:
    environment, by = _environment(options), for_command(options["account"])
    variables.delete_secret(by=by, environment=environment, name=options["name"])
    return _tell(
        options,
        environment,
        {"deleted": options["name"]},
        f"The secret {options['name']} of {environment.slug} is gone.",
    )


def list_secrets(options: dict[str, Any]) -> int:
    environment = _environment(options)
    policy.check(for_command(options["account"]), "environments.variables", environment.slug)
    rows = list(variables.secrets(environment))
    if options["json"]:
        return _tell(options, environment, {"secrets": [_secret(row) for row in rows]})
    cells = [(each.name, f"{each.length} characters", each.fingerprint, *_changed(each)) for each in rows]
    print_rows(("SECRET", "SET", "FINGERPRINT", "CHANGED", "BY"), cells)
    return WELL


def rotate(options: dict[str, Any]) -> int:
    done = variables.rotate_secrets(by=for_command(options["account"]), retire=options["retire"])
    document = {
        "key": done.key,
        "made": done.made,
        "encrypted": done.encrypted,
        "retired": list(done.retired),
        "unneeded": list(done.unneeded) if not done.retired else [],
    }
    if options["json"]:
        print_json(document)
        return WELL
    made = "a new key" if done.made else "the newest key"
    say(
        f"{done.encrypted} secret{'' if done.encrypted == 1 else 's'} encrypted anew; all are under {made}, {done.key}."
    )
    if done.retired:
        say(f"Thrown away: {', '.join(done.retired)}.", "Older backups of the database cannot be read without them.")
    elif done.unneeded:
        how = "take them out of SECRETS_KEYS" if keys.are_given() else "run it again with --retire"
        say(
            f"No secret needs {', '.join(done.unneeded)} any more.",
            f"When no backup of the database does either, {how}.",
        )
    return WELL


def new_key(options: dict[str, Any]) -> int:
    """For whoever keeps the keys outside of the portal. It is kept nowhere."""
    word = keys.new_word()
    if options["json"]:
        print_json({"key": word})
    else:
        sys.stdout.write(word + "\n")
    return WELL


def _secret(row: Secret) -> dict[str, Any]:
    return {
        "name": row.name,
        "length": row.length,
        "fingerprint": row.fingerprint,
        "version": row.version,
        "key": row.key_id,
        "changed_at": row.changed_at.isoformat(),
        "changed_by": row.changed_by,
    }


@sensitive_variables()
def _value(options: dict[str, Any]) -> str:
    """What was given, without the one line end that editors and `echo` put behind it."""
    if options["from_file"]:
        value = _content(Path(options["from_file"]))
    elif sys.stdin.isatty():
        value = getpass.getpass(f"Value of {options['name']} (it is not shown): ")
        if getpass.getpass("Once more: ") != value:
            raise VariableInvalid("The two are not the same.", hint="Nothing was changed; try again.")
    else:
        value = sys.stdin.read()
    return value.removesuffix("\n").removesuffix("\r")


def _content(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise VariableInvalid(
            f"{path} cannot be read: {reason}.", hint="Name a text file that you can read."
        ) from error


# --- what they share -------------------------------------------------------------------------------


def _environment(options: dict[str, Any]) -> Environment:
    slug = options["environment"]
    found = Environment.objects.filter(slug=slug).first()
    if found is None:
        known = ", ".join(Environment.objects.values_list("slug", flat=True))
        raise FlowControlError(f"There is no environment '{slug}'.", hint=f"There are: {known}.")
    return found


def _tell(
    options: dict[str, Any], environment: Environment, document: dict[str, Any], text: str = "", hint: str = ""
) -> int:
    if options["json"]:
        print_json({"environment": environment.slug, **document})
    else:
        say(text, hint)
    return WELL


def _changed(row: Variable | Secret) -> tuple[str, str]:
    return f"{row.changed_at:%Y-%m-%d %H:%M} UTC", row.changed_by


def _line(value: str) -> str:
    """A value in a row of a table: its first line, cut."""
    first, _, rest = value.partition("\n")
    return first[:60] + "…" * bool(rest or len(first) > 60)
