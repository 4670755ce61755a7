# production   what runs: no build tools, no root, works on a read-only root file system with a tmpfs on /tmp
# controller   production, git and the docker client: the only one that is given the Docker socket
# dev          the locked development packages; the project's folder is mounted over /app
# Build one:   docker build --target production --tag flow-control:staging .

ARG PYTHON_IMAGE=python:3.13-slim

# --- packages: exactly those of the lock files, by hash ------------------------------------------
FROM ${PYTHON_IMAGE} AS packages
RUN python -m venv --without-pip /opt/venv
COPY requirements.lock /tmp/
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m pip --python /opt/venv/bin/python install --quiet --disable-pip-version-check \
    --require-hashes -r /tmp/requirements.lock

FROM packages AS dev-packages
COPY requirements-dev.lock /tmp/
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m pip --python /opt/venv/bin/python install --quiet --disable-pip-version-check \
    --require-hashes -r /tmp/requirements-dev.lock

# --- what all of ours share ----------------------------------------------------------------------
FROM ${PYTHON_IMAGE} AS base
ENV PATH=/opt/venv/bin:$PATH \
    HOME=/tmp \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    FLOWCONTROL_HOME=/app \
    FLOWCONTROL_PYTHON=/opt/venv/bin/python \
    FLOWCONTROL_ALIVE=/tmp/alive \
    APP_HOST=0.0.0.0 \
    APP_PORT=8000
WORKDIR /app
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --start-interval=1s --retries=3 \
    CMD ["python", "-S", "/app/flowcontrol/stack/health.py", "http://127.0.0.1:8000/healthz"]
CMD ["python", "-m", "flowcontrol.stack", "--only", "web"]

# --- production ----------------------------------------------------------------------------------
FROM base AS production
RUN groupadd --gid 10001 flowcontrol \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin flowcontrol \
    && install -d -o 10001 -g 10001 /data /logs
ENV FLOWCONTROL_DATA=/data \
    FLOWCONTROL_LOGS=/logs \
    FLOWCONTROL_STATIC=/app/staticfiles \
    LOGS_TO=json
COPY --from=packages /opt/venv /opt/venv
COPY . /app
# The keys are for this one command; those that are used come at the start.
RUN SECRET_KEY=build AUDIT_KEY=build FLOWCONTROL_DATA=/tmp/build python manage.py collectstatic --noinput --verbosity 0 \
    && python -m compileall -q apps flowcontrol manage.py \
    && rm -rf /tmp/build
# Last, since it changes with each commit.
ARG REVISION=unknown
ENV FLOWCONTROL_REVISION=${REVISION}
LABEL org.opencontainers.image.title="Flow Control" \
      org.opencontainers.image.description="A portal that writes, tests, promotes, watches and recovers data flows" \
      org.opencontainers.image.revision="${REVISION}" \
      flowcontrol.image="production"
USER 10001:10001

# --- controller: production, the docker client, and git for what hooks tell of ------------------------------------------------
FROM production AS controller
USER 0:0
RUN apt-get update -qq \
    && apt-get install -y -qq --no-install-recommends docker-cli docker-compose git openssh-client >/dev/null \
    && rm -rf /var/lib/apt/lists/*
LABEL flowcontrol.image="controller"
USER 10001:10001

# --- dev -----------------------------------------------------------------------------------------
FROM base AS dev
# Anybody may run it: as whom is said by compose, so that files made in the mounted folder belong to the developer.
RUN install -d -m 1777 /state
# Modules of the mounted folder are compiled once, for all containers, not at each start and reload.
ENV LOGS_TO=plain \
    PYTHONDONTWRITEBYTECODE=
COPY --from=dev-packages /opt/venv /opt/venv
LABEL org.opencontainers.image.title="Flow Control, for development" flowcontrol.image="dev"
EXPOSE 5678
USER 10001:10001
