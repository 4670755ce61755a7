"""A small cast for the pages: one account of each role, and texts of flows."""

from apps.accounts.models import RoleGrant, User
from apps.flows import actions

FLOW = """flow {name} {{ description: "Counts orders" }}

param region: text = "EU" allow ["EU", "US"]
param least: int

source orders = csv("in/orders.csv") {{ columns: {{ id: int, region: text, amount: decimal(12, 2) }} }}

step wanted = orders
  | where region == @region and amount >= @least

sink wanted -> csv("out/{name}.csv")

test "the others are left out" {{
  with least = 1
  given orders
    | id | region | amount |
    | 1  | EU     | 2.00   |
    | 2  | US     | 2.00   |
  then wanted
    | id |
    | 1  |
}}
"""


def person(role, environment="", name=""):
    user = User.objects.create_user(name or role)
    RoleGrant.objects.create(user=user, role=role, environment=environment)
    return user


def text(name="orders", **changes):
    written = FLOW.format(name=name)
    for before, after in changes.items():
        assert before in written
        written = written.replace(before, after)
    return written


def saved(by, name="orders", written="", base=None, note=""):
    return actions.save_version(by=by, text=written or text(name), base_sha256=base, note=note)
