"""The stages that this room brings. Importing it registers them."""

from apps.environments.stages import containers, deploy, own, platform, registry

for each in (
    platform.PLATFORM,
    containers.CONFIG,
    containers.BUILD,
    containers.CONTAINERS,
    containers.STOP,
    deploy.DEPLOY,
    own.BRIDGE,
    own.HEALTH,
    own.RELOAD,
    own.MONITOR,
):
    registry.register(each)
