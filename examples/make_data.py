"""Make the example data again. Everything is invented; the same seed gives the same files to the byte.

python examples/make_data.py
"""

import csv
import json
import math
import random
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path

HERE = Path(__file__).resolve().parent
SYLLABLES = (
    "al",
    "ber",
    "cor",
    "da",
    "el",
    "fin",
    "gra",
    "hol",
    "in",
    "ka",
    "lu",
    "mar",
    "nor",
    "ol",
    "pa",
    "ri",
    "sun",
    "ta",
)


def write_csv(path: Path, header: list[str], rows: Iterable[list[object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def write_jsonl(path: Path, rows: Iterable[dict[str, object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def shop(dice: random.Random) -> None:
    """Orders of two quarters, one file each; some are exported twice, some lack a discount, some are refunded."""
    folder = HERE / "shop" / "data" / "shop"
    segments = ["Private", "SMB", "Enterprise"]
    regions = ["EU", "EU", "US", "APAC"]
    customers = [
        [number, "".join(dice.sample(SYLLABLES, 3)).title(), dice.choice(segments), dice.choice(regions)]
        for number in range(1, 181)
    ]
    write_csv(folder / "customers.csv", ["id", "name", "segment", "region"], customers)
    header = ["order_id", "customer_id", "amount", "discount", "status", "ordered_at"]
    order = 0
    for name, first, days in (("2026q1", datetime(2026, 1, 1), 90), ("2026q2", datetime(2026, 4, 1), 91)):
        rows: list[list[object]] = []
        for _ in range(900):
            order += 1
            at = first + timedelta(seconds=dice.randrange(days * 86_400))
            amount = round(dice.lognormvariate(4.2, 0.8), 2)
            discount = f"{amount * dice.choice([0.05, 0.1, 0.2]):.2f}" if dice.random() < 0.3 else ""
            status = dice.choices(["paid", "open", "refunded"], [86, 9, 5])[0]
            rows.append([order, dice.randint(1, 180), f"{amount:.2f}", discount, status, f"{at:%Y-%m-%d %H:%M:%S}"])
            if status == "open" and dice.random() < 0.5:
                later = at + timedelta(hours=dice.randint(1, 70))
                rows.append([*rows[-1][:4], "paid", f"{later:%Y-%m-%d %H:%M:%S}"])
        rows.sort(key=lambda row: str(row[5]))
        write_csv(folder / f"orders_{name}.csv", header, rows)


def sensors(dice: random.Random) -> None:
    """A day and a half of temperatures and humidities of twelve cold stores, with gaps and garbled values."""
    folder = HERE / "sensors" / "data" / "sensors"
    sites = ["Basel", "Lyon", "Torino"]
    devices = [[f"{site[0]}-{number}", site, 2.0, 8.0] for site in sites for number in range(1, 5)]
    write_csv(folder / "devices.csv", ["id", "site", "low", "high"], devices)
    rows: list[dict[str, object]] = []
    for device, *_ in devices:
        at = datetime(2026, 5, 1)
        drift = dice.uniform(-0.8, 0.8)
        while at < datetime(2026, 5, 2, 12):
            hour = at.hour + at.minute / 60
            temp = 5 + drift + 1.5 * math.sin(hour / 24 * 2 * math.pi) + dice.gauss(0, 0.4)
            value = "n/a" if dice.random() < 0.01 else f"{temp:.2f}"
            rows.append(
                {
                    "device_id": device,
                    "ts": f"{at:%Y-%m-%d %H:%M:%S}",
                    "metric": dice.choice(["temp", "Temp "]),
                    "value": value,
                }
            )
            rows.append(
                {
                    "device_id": device,
                    "ts": f"{at:%Y-%m-%d %H:%M:%S}",
                    "metric": "humidity",
                    "value": f"{dice.uniform(40, 59):.1f}",
                }
            )
            at += timedelta(minutes=10 if dice.random() > 0.01 else dice.choice([30, 50, 90]))
    rows.sort(key=lambda row: (str(row["ts"]), str(row["device_id"])))
    write_jsonl(folder / "readings.jsonl", rows)


def visits(dice: random.Random) -> None:
    """Page views of a week from a web site and from an app; fewer at each stage on the way to an order."""
    folder = HERE / "visits" / "data" / "visits"
    referrers = [None, "https://search.example/q", "https://news.example/may", "https://blog.example/post"]
    for name, visitors in (("web", 420), ("app", 160)):
        rows: list[dict[str, object]] = []
        for number in range(visitors):
            visitor = f"{name[0]}{number:04d}"
            at = datetime(2026, 5, 4) + timedelta(seconds=dice.randrange(7 * 86_400))
            referrer = dice.choice(referrers)
            path = ["/", *(f"/product/{dice.randint(1, 40)}" for _ in range(dice.choice([0, 1, 1, 2, 3])))]
            if len(path) > 1 and dice.random() < 0.4:
                path.append("/checkout")
                if dice.random() < 0.6:
                    path.append("/checkout/done")
            for step in path:
                rows.append({"visitor": visitor, "at": f"{at:%Y-%m-%d %H:%M:%S}", "path": step, "referrer": referrer})
                at += timedelta(seconds=dice.randint(5, 240))
                referrer = None
        rows += [
            {"visitor": "probe", "at": f"2026-05-0{day} 00:00:00", "path": "/healthz", "referrer": None}
            for day in range(4, 10)
        ]
        rows.sort(key=lambda row: (str(row["at"]), str(row["visitor"])))
        write_jsonl(folder / f"{name}.jsonl", rows)


if __name__ == "__main__":
    shop(random.Random(1))
    sensors(random.Random(2))
    visits(random.Random(3))
