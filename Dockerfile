# Two images of one build: `--target operator` and `--target emulator` (the endpoint that tests and the demo talk to).
ARG PYTHON_IMAGE=python:3.13-slim

FROM ${PYTHON_IMAGE} AS builder
# pip lives here and nowhere else: the environments that leave this stage hold only what runs.
RUN python3 -m venv /opt/builder
COPY tests/cluster/image-requirements.txt /build/
RUN /opt/builder/bin/pip install --no-cache-dir --require-hashes -r /build/image-requirements.txt

FROM builder AS operator-dependencies
COPY operator/requirements.txt /build/
# Compiled now, by content: containers start often, on read-only file systems, and can't compile for themselves.
RUN python3 -m venv --without-pip /opt/llmbatch \
    && /opt/builder/bin/pip --python /opt/llmbatch/bin/python install \
        --no-cache-dir --no-compile --require-hashes -r /build/requirements.txt \
    && /opt/llmbatch/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/llmbatch/lib

FROM operator-dependencies AS operator-project
COPY pyproject.toml README.md* /build/
COPY operator /build/operator
# Into a folder of its own, laid over the dependencies below: a change of source makes one small layer.
RUN /opt/builder/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --no-index -w /build/wheels /build \
    && /opt/builder/bin/pip --python /opt/llmbatch/bin/python install \
        --no-compile --no-deps --no-index --prefix /opt/project /build/wheels/*.whl \
    && /opt/llmbatch/bin/python -m compileall -q --invalidation-mode unchecked-hash \
        -s /opt/project -p /opt/llmbatch /opt/project/lib

FROM builder AS emulator-dependencies
COPY tests/emulator/requirements.txt /build/
RUN python3 -m venv --without-pip /opt/emulator \
    && /opt/builder/bin/pip --python /opt/emulator/bin/python install \
        --no-cache-dir --no-compile --require-hashes -r /build/requirements.txt \
    && /opt/emulator/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/emulator/lib
COPY tests/__init__.py /app/tests/
COPY tests/emulator /app/tests/emulator
RUN /opt/emulator/bin/python -m compileall -q --invalidation-mode unchecked-hash /app

FROM ${PYTHON_IMAGE} AS emulator
COPY --from=emulator-dependencies /opt/emulator /opt/emulator
COPY --from=emulator-dependencies /app /app
ENV PATH=/opt/emulator/bin:/usr/local/bin:/usr/bin:/bin PYTHONUNBUFFERED=1
WORKDIR /app
USER 65532:65532
ENTRYPOINT ["python", "-m", "tests.emulator"]

FROM ${PYTHON_IMAGE} AS operator
COPY --from=operator-dependencies /opt/llmbatch /opt/llmbatch
COPY --from=operator-project /opt/project /opt/llmbatch
ENV PATH=/opt/llmbatch/bin:/usr/local/bin:/usr/bin:/bin PYTHONUNBUFFERED=1
WORKDIR /tmp
USER 65532:65532
ENTRYPOINT ["llmbatch"]
CMD ["operator"]
