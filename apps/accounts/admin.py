"""Accounts, groups and roles in the admin. Every change goes through `actions`, so that the audit has it."""

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.contrib.auth.views import PasswordChangeView
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.urls import reverse_lazy
from unfold.admin import ModelAdmin, TabularInline

from apps.accounts import actions
from apps.accounts.forms import GrantForm, NewUserForm, OwnPasswordForm, PasswordForm, UserForm
from apps.accounts.models import RoleGrant, User
from apps.accounts.policy import Denied
from apps.common.errors import FlowControlError


class Audited(ModelAdmin):
    """An admin page whose changes are actions: one that is refused leaves everything as it was, and says why."""

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return self._or_say_why(request, lambda: super(Audited, self).changeform_view(request, *args, **kwargs))

    def delete_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return self._or_say_why(request, lambda: super(Audited, self).delete_view(request, *args, **kwargs))

    def changelist_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return self._or_say_why(request, lambda: super(Audited, self).changelist_view(request, *args, **kwargs))

    def _or_say_why(self, request: HttpRequest, answer: Callable[[], HttpResponseBase]) -> HttpResponseBase:
        try:
            return answer()
        except Denied:
            raise
        except FlowControlError as error:
            messages.error(request, f"{error.message} {error.hint}")
            return HttpResponseRedirect(request.get_full_path())

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        """The roles below a user or a group. New ones come first, so that an admin may be replaced in one go."""
        formset.save(commit=False)
        for grant in formset.new_objects:
            actions.grant_role(
                by=request.user, user=grant.user, group=grant.group, role=grant.role, environment=grant.environment
            )
        for grant in formset.deleted_objects:
            actions.revoke_role(by=request.user, grant=grant)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        for formset in formsets:
            self.save_formset(request, form, formset, change)


class GrantInline(TabularInline):
    """Roles are granted and revoked; one that is granted is never turned into another."""

    model = RoleGrant
    form = GrantForm
    fields = ("role", "environment")
    extra = 0
    verbose_name = "role"
    verbose_name_plural = "roles"

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(User)
class UserAdmin(Audited, DjangoUserAdmin):
    form = UserForm
    add_form = NewUserForm
    change_password_form = PasswordForm
    inlines = (GrantInline,)
    list_display = ("username", "first_name", "last_name", "roles", "is_active", "last_login")
    list_filter = ("is_active", "grants__role", "groups")
    list_per_page = 50
    search_fields = ("username", "first_name", "last_name", "email")
    filter_horizontal = ()
    readonly_fields = ("last_login", "date_joined")
    fieldsets = (
        (None, {"fields": ("username", "password", "is_active")}),
        ("Person", {"fields": ("first_name", "last_name", "email")}),
        ("Groups", {"fields": ("groups",)}),
        ("Times", {"fields": ("last_login", "date_joined")}),
    )
    add_fieldsets = ((None, {"fields": ("username", "password1", "password2")}),)
    actions = ("deactivate", "activate", "unlock")

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        return super().get_queryset(request).prefetch_related("grants", "groups__grants")

    @admin.display(description="roles")
    def roles(self, user: User) -> str:
        grants = [*user.grants.all(), *(each for group in user.groups.all() for each in group.grants.all())]
        return ", ".join(
            sorted({f"{each.role} in {each.environment}" if each.environment else each.role for each in grants})
        )

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # deactivate it: the record names it

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> User | None:
        user: User | None = super().get_object(request, object_id, from_field)
        if user is not None:
            user.acting = request.user  # for the password form, which is given nothing but the account
        return user

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        if not change:
            made = actions.create_user(by=request.user, username=obj.username, password=form.cleaned_data["password1"])
            obj.pk = made.pk
            obj._state.adding = False
            return
        profile = {field: form.cleaned_data[field] for field in actions.PROFILE if field in form.changed_data}
        actions.change_user(by=request.user, user=obj, **profile)
        if "is_active" in form.changed_data:
            act = actions.activate_user if form.cleaned_data["is_active"] else actions.deactivate_user
            act(by=request.user, user=obj)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        if "groups" in form.changed_data:
            actions.set_groups(by=request.user, user=form.instance, groups=form.cleaned_data["groups"])

    @admin.action(description="Deactivate", permissions=["change"])
    def deactivate(self, request: HttpRequest, users: QuerySet[User]) -> None:
        self._each(request, users, actions.deactivate_user, "deactivated")

    @admin.action(description="Activate", permissions=["change"])
    def activate(self, request: HttpRequest, users: QuerySet[User]) -> None:
        self._each(request, users, actions.activate_user, "activated")

    @admin.action(description="Unlock (forget failed logins)", permissions=["change"])
    def unlock(self, request: HttpRequest, users: QuerySet[User]) -> None:
        self._each(request, users, actions.unlock_user, "unlocked")

    def _each(self, request: HttpRequest, users: QuerySet[User], act: Callable[..., Any], done: str) -> None:
        """All of them or none."""
        with transaction.atomic():
            for user in users:
                act(by=request.user, user=user)
        messages.success(request, f"{', '.join(user.username for user in users)}: {done}.")


admin.site.unregister(Group)


@admin.register(Group)
class GroupAdmin(Audited):
    fields = ("name",)
    inlines = (GrantInline,)
    list_display = ("name", "members")
    search_fields = ("name",)
    ordering = ("name",)

    @admin.display(description="members")
    def members(self, group: Group) -> str:
        return ", ".join(User.objects.filter(groups=group).order_by("username").values_list("username", flat=True))

    def save_model(self, request: HttpRequest, obj: Group, form: Any, change: bool) -> None:
        if change:
            actions.rename_group(by=request.user, group=obj, name=obj.name)
        else:
            obj.pk = actions.create_group(by=request.user, name=obj.name).pk

    def delete_model(self, request: HttpRequest, obj: Group) -> None:
        actions.delete_group(by=request.user, group=obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Group]) -> None:
        with transaction.atomic():
            for group in queryset:
                self.delete_model(request, group)


@admin.register(RoleGrant)
class RoleGrantAdmin(Audited):
    form = GrantForm
    list_display = ("role", "user", "group", "place")
    list_filter = ("role", "environment")
    list_select_related = ("user", "group")
    search_fields = ("user__username", "group__name")
    ordering = ("role", "environment", "pk")

    @admin.display(description="environment", ordering="environment")
    def place(self, grant: RoleGrant) -> str:
        return grant.environment or "every environment"

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # a role is granted and revoked, each noted; never turned into another

    def save_model(self, request: HttpRequest, obj: RoleGrant, form: Any, change: bool) -> None:
        made = actions.grant_role(
            by=request.user, user=obj.user, group=obj.group, role=obj.role, environment=obj.environment
        )
        obj.pk = made.pk

    def delete_model(self, request: HttpRequest, obj: RoleGrant) -> None:
        actions.revoke_role(by=request.user, grant=obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[RoleGrant]) -> None:
        with transaction.atomic():
            for grant in queryset:
                self.delete_model(request, grant)


def change_own_password(request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponseBase:
    """The page of unfold, with a form that notes the change."""
    request.current_app = admin.site.name
    return PasswordChangeView.as_view(
        form_class=OwnPasswordForm,
        success_url=reverse_lazy("admin:password_change_done"),
        extra_context={**admin.site.each_context(request), **(extra_context or {})},
    )(request)


admin.site.password_change = change_own_password  # type: ignore[method-assign,assignment]
