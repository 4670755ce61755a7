"""L1 system: the engine, who reaches whom, and what each container may use, in force."""

import docker.errors

from apps.environments.containers.found import Found
from apps.portal.cases.staging.stack import STAGING, Stack, stack
from apps.testruns.builtin.core import OLDEST_DOCKER_API, numbers
from apps.testruns.cases.checks import check
from apps.testruns.cases.model import Place

HIDDEN = ("postgres", "redis")  # no way there from the proxy
SOCKET = "docker.sock"
MIB = 1024**2
READ_TIMES = 3

# Where a container sees its own limits: one hierarchy (version 2), or one for each kind (version 1).
CGROUP_FILES = {
    "memory": ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"),
    "cpus": ("/sys/fs/cgroup/cpu.max", "/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "/sys/fs/cgroup/cpu/cpu.cfs_period_us"),
    "pids": ("/sys/fs/cgroup/pids.max", "/sys/fs/cgroup/pids/pids.max"),
}


@check("L1", title="the stack's engine is new enough and can limit containers", environments=STAGING, timeout=30)
def engine_can_limit(place: Place) -> str:
    with stack(place) as there:
        version, info = there.client.version(), there.client.info()
        api = version["ApiVersion"]
        assert numbers(api) >= OLDEST_DOCKER_API, (
            f"Docker Engine {version['Version']} speaks API {api}; 1.44 is needed: update it to 25 or newer"
        )
        cannot = [name for name in ("MemoryLimit", "CpuCfsQuota", "PidsLimit") if not info.get(name)]
        assert not cannot, f"this kernel cannot keep containers to {', '.join(cannot)}: limits would be words"
        return f"Docker Engine {version['Version']}, cgroup version {info.get('CgroupVersion', '?')}"


@check("L1", title="database and bus are out of the proxy's reach", environments=STAGING, timeout=30)
def networks_are_apart(place: Place) -> None:
    with stack(place) as there:
        wrong = within_reach(there)
        assert not wrong, "; ".join(wrong)


def within_reach(there: Stack) -> list[str]:
    fronts = set(there.one("proxy").networks)
    return [
        f"{each.name} is on the proxy's network {', '.join(shared)}"
        for service in HIDDEN
        for each in there.of(service)
        if (shared := sorted(fronts & set(each.networks)))
    ]


@check("L1", title="the proxy alone has ports on the host", environments=STAGING, timeout=30)
def only_the_proxy_is_published(place: Place) -> None:
    with stack(place) as there:
        wrong = published_by_others(there)
        assert not wrong, "; ".join(wrong)


def published_by_others(there: Stack) -> list[str]:
    return [
        f"{each.name} publishes {port.container} on port {port.host_port} of the host"
        for each in there.running
        if each.service != "proxy"
        for port in each.published
    ]


@check("L1", title="no container has more rights than it needs", environments=STAGING, timeout=30)
def containers_are_confined(place: Place) -> None:
    with stack(place) as there:
        wrong = too_mighty(there)
        assert not wrong, "; ".join(wrong)


def too_mighty(there: Stack) -> list[str]:
    """Privileged ones, root, and those that could command the engine."""
    wrong = []
    for each in there.running:
        if each.privileged:
            wrong.append(f"{each.name} is privileged")
        if each.user.partition(":")[0] in ("", "0", "root"):
            wrong.append(f"{each.name} runs as root")
        if each.service != "controller" and any(mount.target.endswith(SOCKET) for mount in each.mounts):
            wrong.append(f"{each.name} has the socket of the engine: only the controller may")
    return wrong


@check("L1", title="what ends is started again by the engine", environments=STAGING, timeout=30)
def restarts_are_on(place: Place) -> None:
    with stack(place) as there:
        wrong = [f"{each.name} has restart: {each.restart_policy}" for each in there.running if not _comes_back(each)]
        assert not wrong, f"{'; '.join(wrong)}: with always it comes back also when the engine was killed"


def _comes_back(each: Found) -> bool:
    return each.restart_policy == "always"


@check("L1", title="each container has limits, and they are in force", environments=STAGING, timeout=60)
def limits_are_in_force(place: Place) -> str:
    with stack(place) as there:
        wrong = [fault for each in there.running for fault in (*missing_limits(each), *limits_not_kept(there, each))]
        assert not wrong, "; ".join(wrong)
        return "; ".join(map(_limits_of, there.running))


def _limits_of(each: Found) -> str:
    memory = (each.limits.memory_bytes or 0) // MIB
    return f"{each.service}: {memory} MiB, {each.limits.cpus:g} CPUs, {each.limits.pids} processes"


def missing_limits(each: Found) -> list[str]:
    values = {"memory": each.limits.memory_bytes, "cpus": each.limits.cpus, "pids": each.limits.pids}
    return [f"{each.name} has no limit of {name}" for name, value in values.items() if value is None]


def limits_not_kept(there: Stack, each: Found) -> list[str]:
    """What the kernel holds the container to, read inside of it, against what it was set to."""
    wanted = {"memory": each.limits.memory_bytes, "cpus": each.limits.cpus, "pids": each.limits.pids}
    wrong = []
    for name, value in wanted.items():
        if value is None:
            continue
        kept = _kept(name, _read(there, each, CGROUP_FILES[name]))
        if kept is None or abs(kept - value) > 0.01 * value:
            wrong.append(f"{each.name} is set to {value:g} {name}, and the kernel keeps it to {kept or 'nothing'}")
    return wrong


def _read(there: Stack, each: Found, paths: tuple[str, ...]) -> list[str]:
    """The words of those of the files that are there. A busy engine now and then loses what so short a command has said,
    so that nothing at all is asked for again."""
    for _ in range(READ_TIMES):
        made = there.client.api.exec_create(each.container, ["cat", *paths], stderr=False)
        try:
            said: bytes = there.client.api.exec_start(made["Id"])
        except docker.errors.APIError as error:
            raise AssertionError(f"nothing can be read in {each.name}: {error.explanation}") from error
        if said.strip():
            break
    return said.decode("utf-8", "replace").split()


def _kept(name: str, words: list[str]) -> float | None:
    """`max` and -1 are no limit. CPUs are a quota of a period, both in microseconds."""
    figures = [float(word) for word in words if word.lstrip("-").isdigit()]
    if "max" in words or not figures or figures[0] < 0:
        return None
    if name == "cpus":
        return figures[0] / figures[1] if len(figures) > 1 else None
    return figures[0]
