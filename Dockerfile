# The product in one image, for the web server, listeners, workers and beat; docs/deploying.md.
ARG PYTHON_IMAGE=python:3.13.15-slim-trixie@sha256:7c61056e61ac89e852de05f3dc6fa51a6dd2181797bceed46aa725dd7cb2cd3b

# ── installation ───────────────────────────────────────────────────────────────────────
FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
RUN python -m venv --without-pip /opt/venv
COPY requirements.txt /tmp/
# Wheels only: nothing is compiled, so no compiler is needed.
RUN pip --python /opt/venv/bin/python install --no-cache-dir --only-binary :all: --requirement /tmp/requirements.txt
ENV PATH=/opt/venv/bin:$PATH
WORKDIR /app
COPY . .
# The image's user could not read the files of a clone made with umask 077.
# Compile and collect here, because the file system is read-only at run time.
RUN chmod --recursive u+rwX,go+rX . \
    && python -m compileall -q . \
    && DEBUG=true VAR_DIR=/tmp STATIC_ROOT=/app/staticfiles python manage.py collectstatic --noinput --verbosity 0 --ignore 'redoc*'

FROM build AS build-flower
COPY requirements-flower.txt /tmp/
RUN /usr/local/bin/pip --python /opt/venv/bin/python install --no-cache-dir --only-binary :all: --requirement /tmp/requirements-flower.txt

FROM build AS build-traces
COPY requirements-otel.txt /tmp/
RUN /usr/local/bin/pip --python /opt/venv/bin/python install --no-cache-dir --only-binary :all: --requirement /tmp/requirements-otel.txt

# ── final image ───────────────────────────────────────────────────────────────────────────────
FROM ${PYTHON_IMAGE} AS runtime
RUN python -m pip uninstall --yes --no-cache-dir pip \
    && groupadd --gid 10001 cdc \
    && useradd --uid 10001 --gid cdc --no-create-home --home-dir /var/lib/salesforce-cdc --shell /usr/sbin/nologin cdc \
    && install --directory --owner cdc --group cdc --mode 0750 /var/lib/salesforce-cdc
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    VAR_DIR=/var/lib/salesforce-cdc \
    STATIC_ROOT=/app/staticfiles \
    LOG_FORMAT=json
WORKDIR /app
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app
USER 10001:10001
EXPOSE 8000 9400 9401
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=3 CMD ["bin/probe", "http://127.0.0.1:8000/healthz/ready"]
CMD ["gunicorn", "cdcproject.wsgi", "--bind", "0.0.0.0:8000"]

FROM runtime AS flower
COPY --from=build-flower /opt/venv /opt/venv
EXPOSE 5555
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=3 CMD ["bin/probe", "http://127.0.0.1:5555/healthcheck"]
CMD ["celery", "-A", "cdcproject", "flower", "--conf=deploy/flower/flowerconfig.py", "--address=0.0.0.0", "--port=5555"]

# docs/traces.md.
FROM runtime AS traces
COPY --from=build-traces /opt/venv /opt/venv

# The default stage.
FROM runtime
