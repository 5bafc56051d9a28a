# syntax=docker/dockerfile:1

# One image for all five processes; the command names the process.
ARG PYTHON_TAG=3.13-slim-trixie

FROM python:${PYTHON_TAG} AS build
ENV UV_COMPILE_BYTECODE=1 \
    UV_LINK_MODE=copy \
    UV_NO_CACHE=1 \
    UV_PYTHON_DOWNLOADS=never
WORKDIR /src

COPY requirements/build.txt requirements/services.txt requirements/
RUN pip install --no-cache-dir --root-user-action=ignore --require-hashes --requirement requirements/build.txt \
    && uv venv --python /usr/local/bin/python /opt/rota \
    && uv pip install --python /opt/rota --require-hashes --build-constraints requirements/build.txt \
        --requirement requirements/services.txt

COPY protos protos
COPY chassis chassis
COPY gateway gateway
COPY services services
# `uv pip check` ends the build when a member asks for something that the lock does not carry.
RUN pip wheel --no-deps --no-index --no-build-isolation --wheel-dir /wheels ./protos ./chassis ./gateway ./services/* \
    && uv pip install --python /opt/rota --offline --no-deps /wheels/*.whl \
    && uv pip check --python /opt/rota

FROM python:${PYTHON_TAG}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="rota" \
      org.opencontainers.image.description="A self-hostable back end for work that people and machines do" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

RUN groupadd --gid 10001 rota \
    && useradd --uid 10001 --gid 10001 --no-log-init --no-create-home --home-dir /tmp --shell /usr/sbin/nologin rota \
    && install --directory --owner=rota --group=rota --mode=0700 /data
COPY --from=build /opt/rota /opt/rota
# The root file system may be read-only: nothing is written outside /tmp and, by tasks, /data. Safe path: a file in the working directory
# is never imported.
ENV PATH=/opt/rota/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONSAFEPATH=1 \
    PYTHONUNBUFFERED=1 \
    ROTA_HTTP_HOST=0.0.0.0 \
    ROTA_HTTP_PORT=8080 \
    ROTA_LISTEN=0.0.0.0:9000
WORKDIR /tmp
USER 10001:10001
EXPOSE 8080 9000

# The gateway's; a service is asked by gRPC instead: `python -m rota_chassis.health 127.0.0.1:9000`.
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --start-interval=2s --retries=3 \
    CMD ["python", "-c", "import http.client, sys; c = http.client.HTTPConnection('127.0.0.1', 8080, timeout=4); c.request('GET', '/livez'); sys.exit(c.getresponse().status != 200)"]

ENTRYPOINT ["python", "-m"]
CMD ["rota_gateway"]
