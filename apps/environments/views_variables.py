"""The page of an environment's variables and secrets: what is set, by whom and when; never what a secret is."""

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from apps.accounts import policy
from apps.common.errors import FlowControlError
from apps.environments import variables
from apps.environments.forms_variables import SecretForm, VariableForm
from apps.environments.models import Environment

SEE, CHANGE = "environments.variables", "environments.secrets"
NEXT = "The next start of the stack uses it."


@require_GET
@never_cache
@policy.guard(SEE)
def show_variables(request: HttpRequest, slug: str) -> HttpResponse:
    """Variables and secrets. `?variable=NAME` and `?secret=NAME` put the name, of a variable its value too, into the form."""
    environment = _environment(request, slug, SEE)
    wanted = request.GET.get("variable", "")
    row = variables.variables(environment).filter(name=wanted).first() if wanted else None
    value = (f"{variables.REFERENCE}{row.reference}" if row.reference else row.value) if row else ""
    return _page(
        request,
        environment,
        VariableForm(initial={"name": wanted, "value": value}),
        SecretForm(initial={"name": request.GET.get("secret", "")}),
    )


@require_POST
@policy.guard(CHANGE)
def set_variable(request: HttpRequest, slug: str) -> HttpResponse:
    environment = _environment(request, slug, CHANGE)
    form = VariableForm(request.POST)
    if form.is_valid():
        # Browsers send line ends as carriage return and line feed; a value has what Unix has.
        given = {**form.cleaned_data, "value": form.cleaned_data["value"].replace("\r\n", "\n")}
        if _done(form, lambda: variables.set_variable(by=request.user, environment=environment, **given)):
            messages.success(request, f"{given['name']} is set. {NEXT}")
            return redirect("environments:variables", slug)
    return _page(request, environment, form, SecretForm(), status=422)


@sensitive_post_parameters("secret-value")
@sensitive_variables()
@require_POST
@policy.guard(CHANGE)
def set_secret(request: HttpRequest, slug: str) -> HttpResponse:
    environment = _environment(request, slug, CHANGE)
    form = SecretForm(request.POST)
    if form.is_valid():
        given = form.cleaned_data
        if _done(form, lambda: variables.set_secret(by=request.user, environment=environment, **given)):
            messages.success(request, f"The secret {given['name']} is set. {NEXT}")
            return redirect("environments:variables", slug)
    return _page(request, environment, VariableForm(), form, status=422)


@require_http_methods(["GET", "POST"])
@policy.guard(CHANGE)
def unset_variable(request: HttpRequest, slug: str, name: str) -> HttpResponse:
    """Asks, then takes the variable away."""
    environment = _environment(request, slug, CHANGE)
    if not variables.variables(environment).filter(name=name).exists():
        raise Http404(f"{slug} has no variable {name}.")
    if request.method == "GET":
        text = "Containers are started without it from the next start of the stack on."
        return _ask(request, environment, f"Take the variable {name} away?", text, "Take it away")
    variables.unset_variable(by=request.user, environment=environment, name=name)
    messages.success(request, f"{name} is not set any more.")
    return redirect("environments:variables", slug)


@require_http_methods(["GET", "POST"])
@policy.guard(CHANGE)
def delete_secret(request: HttpRequest, slug: str, name: str) -> HttpResponse:
    """Asks, then deletes the secret; not one that variables refer to."""
    environment = _environment(request, slug, CHANGE)
    if not variables.secrets(environment).filter(name=name).exists():
        raise Http404(f"{slug} has no secret {name}.")
    title, text = f"Delete the secret {name}?", "Its value is gone for good: nobody can read it here first."
    if request.method == "GET":
        return _ask(request, environment, title, text, "Delete it", used_by=variables.users_of(environment, name))
    try:
        variables.delete_secret(by=request.user, environment=environment, name=name)
    except variables.SecretInUse:
        used_by = variables.users_of(environment, name)
        return _ask(request, environment, title, text, "Delete it", used_by=used_by, status=409)
    messages.success(request, f"The secret {name} is gone.")
    return redirect("environments:variables", slug)


# --- what they share -------------------------------------------------------------------------------


def _environment(request: HttpRequest, slug: str, action: str) -> Environment:
    """The environment, for somebody who may do `action` in it. Raises Denied, Http404."""
    found = get_object_or_404(Environment, slug=slug)
    policy.check(request.user, action, found.slug)
    return found


def _done(form: VariableForm | SecretForm, act: Callable[[], Any]) -> bool:
    """Whether it could be done; if not, the form says why."""
    try:
        act()
    except policy.Denied:
        raise
    except FlowControlError as error:
        about_the_name = error.message.endswith("is no name of a variable.")
        form.add_error("name" if about_the_name else None, f"{error.message} {error.hint}")
        return False
    return True


def _page(
    request: HttpRequest, environment: Environment, variable: VariableForm, secret: SecretForm, status: int = 200
) -> HttpResponse:
    rows = list(variables.variables(environment))
    context = {
        "title": "Variables and secrets",
        "page_title": f"Variables and secrets of {environment.name}",
        "environment": environment,
        "variables": rows,
        "secrets": [
            {"row": each, "used_by": [row.name for row in rows if row.reference == each.name]}
            for each in variables.secrets(environment)
        ],
        "variable_form": variable,
        "secret_form": secret,
        "may_change": policy.allowed(request.user, CHANGE, environment.slug),
        "may_audit": policy.allowed(request.user, "audit.view"),
    }
    return render(request, "environments/variables.html", context, status=status)


def _ask(
    request: HttpRequest,
    environment: Environment,
    title: str,
    text: str,
    button: str,
    *,
    used_by: list[str] | None = None,
    status: int = 200,
) -> HttpResponse:
    context = {"title": title, "environment": environment, "text": text, "button": button, "used_by": used_by or []}
    return render(request, "environments/variable_gone.html", context, status=status)
