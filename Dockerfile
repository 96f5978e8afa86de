# syntax=docker/dockerfile:1
# Anchorwatch as a container: hash-checked packages, no root, a read-only root file system, kernels compiled at build.

FROM python:3.11.14-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/anchorwatch
COPY requirements.lock /src/
RUN /opt/anchorwatch/bin/pip install --require-hashes --only-binary :all: -r /src/requirements.lock
COPY . /src/
# The build back end is in the lock: nothing is fetched here.
RUN /opt/anchorwatch/bin/pip install --no-index --no-deps --no-build-isolation /src

FROM python:3.11.14-slim-bookworm
ENV PATH=/opt/anchorwatch/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    NUMBA_CACHE_DIR=/var/cache/anchorwatch/numba
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin anchorwatch \
    && install -d -o anchorwatch -g anchorwatch /data /var/cache/anchorwatch/numba
COPY --from=build /opt/anchorwatch /opt/anchorwatch
USER anchorwatch
# Kernels are compiled for the processor that builds; another type of processor compiles its own at start, into the
# volume mounted over this folder (or, without one, in memory).
RUN python -m service.warm
VOLUME ["/data", "/var/cache/anchorwatch"]
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/healthz', timeout=2)"]
ENTRYPOINT ["anchorwatch"]
CMD ["serve", "--data-dir", "/data", "--host", "0.0.0.0", "--port", "8000"]
