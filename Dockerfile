# The image that every node of a compiled pipeline runs in, and the commands on any machine; x86-64 only, as TFX is.
#
#   docker build --platform linux/amd64 --tag efficientdet-pipeline:latest .
#
# BASE     any Debian or Ubuntu with `python3.11`: 3.11.5 or later, headers and venv included
# VARIANT  cpu, or gpu: with the CUDA that TensorFlow asks for, on machines with NVIDIA's driver
# EXTRAS   of setup.py; `onnx` too where that format is exported
# COMMIT   what registered models say they come from
#
# Another index of packages: --secret id=pip.conf,src=pip.conf --secret id=uv.toml,src=uv.toml, which leave no trace.
ARG BASE=python:3.11-slim

# What builds: a compiler, as one of TFX's dependencies comes as C++, and the pinned uv.
FROM ${BASE} AS tools
RUN apt-get update && apt-get install --yes --no-install-recommends g++
COPY constraints.txt /source/
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    python3.11 -m venv /opt/uv \
    && /opt/uv/bin/pip install --no-cache-dir --disable-pip-version-check --constraint /source/constraints.txt \
        setuptools uv
ENV PATH=/opt/uv/bin:$PATH UV_NO_CACHE=1 UV_SYSTEM_CERTS=1

# The product alone, and the pins that it needs of constraints.txt.
FROM tools AS product
WORKDIR /source
COPY . .
RUN pip wheel --no-cache-dir --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir /wheel . \
    && python3.11 -m venv --without-pip /opt/efficientdet \
    && uv pip install --offline --no-deps --compile-bytecode --python /opt/efficientdet /wheel/*.whl
ARG EXTRAS=pipeline,imagenet,vertex,video
ARG VARIANT=cpu
RUN --mount=type=secret,id=uv.toml,target=/etc/uv/uv.toml \
    case "$VARIANT" in cpu) extras="$EXTRAS" ;; gpu) extras="$EXTRAS,gpu" ;; \
        *) echo "VARIANT=$VARIANT: there are cpu and gpu" >&2; exit 2 ;; esac \
    && echo "efficientdet-pipeline[$extras] @ file://$(echo /wheel/*.whl)" \
    | uv pip compile --python /opt/efficientdet --constraint constraints.txt --no-header --no-annotate --quiet \
        --no-emit-package efficientdet-pipeline --output-file /requirements.txt -

# Where code alone has changed the pins are the same bytes, and this is not done again.
FROM tools AS dependencies
COPY --from=product /requirements.txt /
RUN --mount=type=secret,id=uv.toml,target=/etc/uv/uv.toml \
    python3.11 -m venv --without-pip /opt/efficientdet \
    && uv pip install --no-deps --compile-bytecode --quiet --python /opt/efficientdet --requirement /requirements.txt

FROM ${BASE}
# A number, so that Kubernetes sees that it is not root; some bases have a user of that number already.
RUN useradd --non-unique --uid 1000 --create-home efficientdet
COPY --from=dependencies /opt/efficientdet /opt/efficientdet
# CUDA's libraries, where there are any, load each other by name.
RUN find /opt/efficientdet/lib/python3.11/site-packages -path '*/nvidia/*/lib' > /etc/ld.so.conf.d/nvidia.conf && ldconfig
COPY --from=product /opt/efficientdet /opt/efficientdet

ARG BASE
ARG VARIANT=cpu
ARG COMMIT=
LABEL org.opencontainers.image.title="efficientdet-pipeline" \
    org.opencontainers.image.description="Trains EfficientDet from COCO or VOC to a blessed, registered TFLite" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.base.name="${BASE}" \
    org.opencontainers.image.revision="${COMMIT}" \
    efficientdet.variant="${VARIANT}"
ENV PATH=/opt/efficientdet/bin:$PATH \
    HOME=/home/efficientdet \
    PYTHONUNBUFFERED=1 \
    EFFICIENTDET_COMMIT=${COMMIT}
USER 1000
WORKDIR /home/efficientdet
CMD ["efficientdet-pipeline", "--help"]
