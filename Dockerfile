# The image of tenantproxy: the program and what it imports, and nothing that builds or
# installs. `make image` builds it; docs/image.md tells how to pin, verify and run it.

# A tag moves: give a release the digest too, as docs/image.md shows.
ARG PYTHON_IMAGE=python:3.13-slim-trixie

FROM ${PYTHON_IMAGE} AS build
# Only wheels: a package without one for this machine ends the build here, not in a compiler.
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ONLY_BINARY=:all: \
    PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
# In front of our own code, so that a change of it does not fetch them again.
COPY requirements.txt requirements-build.txt ./
RUN python -m venv --without-pip /opt/tenantproxy \
    && python -m pip --python /opt/tenantproxy/bin/python install \
        --no-deps --require-hashes --no-compile -r requirements.txt \
    && python -m pip install --no-deps --require-hashes -r requirements-build.txt
COPY pyproject.toml README.md LICENSE ./
COPY tenantproxy tenantproxy
# `check`, because nothing above resolved anything: it fails when the lock lacks a package.
# Bytecode by hash: a time in it would be wrong as soon as a builder sets the files' times anew.
# With -f, because pip has left some of what it imported.
RUN python -m pip wheel --no-deps --no-index --no-build-isolation --wheel-dir dist . \
    && python -m pip --python /opt/tenantproxy/bin/python install \
        --no-deps --no-index --no-compile dist/*.whl \
    && python -m pip --python /opt/tenantproxy/bin/python check \
    && python -m compileall -qf --invalidation-mode unchecked-hash /opt/tenantproxy/lib

FROM ${PYTHON_IMAGE}
ENV PATH=/opt/tenantproxy/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
# Here lies the document, so `docker run ... check tenantproxy.yaml` needs no path.
WORKDIR /etc/tenantproxy
# The base has its standard library without bytecode, and a read-only root keeps none, so each
# worker would compile it again at its start.
RUN python -m pip uninstall --yes --root-user-action ignore pip setuptools wheel \
    && rm -rf /usr/local/lib/python3.*/ensurepip \
    && python -m compileall -q --invalidation-mode unchecked-hash \
        -x '/(site-packages|test|tests|idlelib|lib2to3|tkinter|turtledemo)/' \
        /usr/local/lib/python3.*/
COPY --from=build /opt/tenantproxy /opt/tenantproxy
# A number, so that Kubernetes can see that it is not root.
USER 65532:65532
# Metrics. Tenants' ports are thousands: to name them would make `docker run -P` publish each.
EXPOSE 9901
# No HEALTHCHECK: Kubernetes does not read it, and the port of /livez is the document's matter.
# No init beneath: the program handles its signals and reaps its children as process 1.
STOPSIGNAL SIGTERM
ENTRYPOINT ["tenantproxy"]
CMD ["run", "-c", "/etc/tenantproxy/tenantproxy.yaml"]

# Last, so that a new revision makes no other layer anew.
ARG VERSION=unknown
ARG REVISION=unknown
ARG PYTHON_IMAGE
LABEL org.opencontainers.image.title="tenantproxy" \
      org.opencontainers.image.description="A multi-tenant traffic-splitting proxy whose ports open on demand" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${PYTHON_IMAGE}"
