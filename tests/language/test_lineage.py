"""Which columns of the sources go into each column."""

from apps.language import lineage
from apps.language.checker import check, no_schemas
from apps.language.parser import parse

FLOW = """flow f
source orders = csv("o.csv") { columns: { id: int, customer_id: int, amount: int, discount: int, day: date } }
source customers = csv("c.csv") { columns: { id: int, segment: text } }
source more = csv("m.csv") { columns: { id: int, segment: text } }
fn net(a, d) = a - (d ?? 0)
step paid = orders | where amount > 0 | derive net = net(amount, discount), amount = 1 | rename key = id
step named = paid | lookup customers as c on customer_id == c.id bring part = c.segment
step grouped = named | group by part, month = trunc(day, "month") { total = sum(net), rows = count(), label = upper(part) }
step ranked = named | window by part order day { running = sum(net), nth = row_number() } | select running, nth
step both = customers | union more
sink grouped -> csv("g.csv")
sink ranked -> csv("r.csv")
sink both -> csv("b.csv")
"""


def columns_of(step: str) -> dict[str, str]:
    tree = parse(FLOW).tree
    assert tree is not None
    plan = check(tree, no_schemas).plan
    assert plan is not None
    return {
        name: " ".join(sorted(f"{source}.{column}" for source, column in origins))
        for name, origins in lineage.columns(plan)[step].items()
    }


def test_a_computed_column_comes_from_what_it_reads() -> None:
    assert columns_of("paid") == {
        "key": "orders.id",
        "customer_id": "orders.customer_id",
        "amount": "",
        "discount": "orders.discount",
        "day": "orders.day",
        "net": "orders.amount orders.discount",
    }


def test_a_brought_column_comes_from_the_other_table() -> None:
    assert columns_of("named")["part"] == "customers.segment"


def test_a_group_comes_from_its_keys_and_its_aggregates() -> None:
    assert columns_of("grouped") == {
        "part": "customers.segment",
        "month": "orders.day",
        "total": "orders.amount orders.discount",
        "rows": "",
        "label": "customers.segment",
    }


def test_a_window_comes_from_what_it_computes() -> None:
    assert columns_of("ranked") == {"running": "orders.amount orders.discount", "nth": ""}


def test_a_union_comes_from_both() -> None:
    assert columns_of("both")["segment"] == "customers.segment more.segment"
