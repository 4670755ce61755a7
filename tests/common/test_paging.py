"""Pages by key."""

from types import SimpleNamespace

from apps.common.paging import page


class Rows(list):
    """As much of a queryset as paging uses."""

    def filter(self, **condition):
        ((name, value),) = condition.items()
        value = int(value)
        return Rows(row for row in self if (row.pk < value if name == "pk__lt" else row.pk > value))

    def order_by(self, key):
        return Rows(sorted(self, key=lambda row: row.pk, reverse=key.startswith("-")))

    def __getitem__(self, part):
        return Rows(list.__getitem__(self, part))


ROWS = Rows(SimpleNamespace(pk=number) for number in range(1, 11))


def keys(found):
    return [row.pk for row in found.rows]


def asked(query):
    return dict(pair.split("=") for pair in query.split("&"))


def test_the_first_page_is_the_newest_and_leads_only_onward():
    first = page(ROWS, {}, key="pk", size=4)
    assert keys(first) == [10, 9, 8, 7]
    assert (first.earlier, first.later) == ("", "after=7")


def test_pages_lead_through_every_row_once_and_back():
    there = [page(ROWS, {}, key="pk", size=4)]
    while there[-1].later:
        there.append(page(ROWS, asked(there[-1].later), key="pk", size=4))
    assert [keys(each) for each in there] == [[10, 9, 8, 7], [6, 5, 4, 3], [2, 1]]
    back = page(ROWS, asked(there[-1].earlier), key="pk", size=4)
    assert keys(back) == [6, 5, 4, 3]
    assert page(ROWS, asked(back.earlier), key="pk", size=4).earlier == ""


def test_ascending_pages_begin_with_the_smallest():
    assert keys(page(ROWS, {"after": "8"}, key="pk", size=4, descending=False)) == [9, 10]


def test_filters_stay_in_the_links_of_the_pages():
    assert page(ROWS, {"state": "failed", "flow": ""}, key="pk", size=4).later == "state=failed&after=7"


def test_a_key_that_is_none_gives_the_first_page():
    assert keys(page(ROWS, {"after": "nonsense"}, key="pk", size=2)) == [10, 9]


def test_no_rows_have_no_neighbours():
    assert page(Rows(), {}, key="pk") == page(Rows(), {"until": "3"}, key="pk")
