"""A rotation that dies at a step: `python -m tests.environments.dying seal`. Its exit status is then 9."""

import os
import sys
from typing import Any


def die(*args: Any, **kwargs: Any) -> None:
    os._exit(9)


def die_at(step: str) -> None:
    """Put death in the place of what the rotation calls at `step`."""
    import apps.common.files
    from apps.environments import variables

    if step.startswith("commit"):
        left, batch = [int(step[-1])], variables._rotate_batch

        def after_some(*args: Any) -> int:
            count = batch(*args)  # committed
            left[0] -= 1
            return count if left[0] else die()

        variables._rotate_batch = after_some
    elif step == "make":
        make = variables.keys.make
        variables.keys.make = lambda: die(make())  # the key is in the file, and the transaction is lost
    elif step == "write":
        apps.common.files.os.replace = die
    elif step == "retire":
        variables.keys.retire = die
    else:
        setattr(variables, step, die)


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "flowcontrol.settings")
    import django

    django.setup()
    from apps.audit.actors import SYSTEM
    from apps.environments.variables import rotate_secrets

    die_at(sys.argv[1])
    rotate_secrets(by=SYSTEM, batch=2, retire=True)
