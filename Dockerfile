# Two images from one file:
#
#   docker build --target cuda -t hpsearch:cuda .
#   docker build --target cpu  -t hpsearch:cpu  .
#
# torch's wheel on the default index carries the GPU libraries (about 3 GB) on Linux x86-64. For a
# small CPU image name an index with CPU builds, as torch's installation page gives it:
#
#   docker build --target cpu --build-arg TORCH_INDEX_ARGS="--index-url <CPU index>" .

ARG PYTHON_VERSION=3.11

FROM python:${PYTHON_VERSION}-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
RUN python -m venv /opt/hpsearch
ENV PATH=/opt/hpsearch/bin:$PATH
WORKDIR /src
COPY requirements.lock ./
# torch alone first, in a layer of its own: the other packages always come from the default index
ARG TORCH_INDEX_ARGS=""
RUN pip install ${TORCH_INDEX_ARGS} "$(grep '^torch==' requirements.lock)"
RUN pip install -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY hpsearch hpsearch
RUN pip install --no-deps --no-build-isolation .

FROM python:${PYTHON_VERSION}-slim AS runtime
RUN groupadd --gid 10001 hpsearch \
 && useradd --uid 10001 --gid hpsearch --home-dir /var/lib/hpsearch --create-home hpsearch \
 && chmod 0700 /var/lib/hpsearch
COPY --from=build /opt/hpsearch /opt/hpsearch
ENV PATH=/opt/hpsearch/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    HPSEARCH_DATA_DIR=/var/lib/hpsearch \
    HPSEARCH_HOST=0.0.0.0 \
    HPSEARCH_PORT=8000 \
    HPSEARCH_LOG_FORMAT=json
WORKDIR /var/lib/hpsearch
USER 10001:10001
VOLUME /var/lib/hpsearch
EXPOSE 8000
STOPSIGNAL SIGTERM
# exec form: signals reach hpsearch itself, which stops its children in order
ENTRYPOINT ["hpsearch"]
CMD ["up"]
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
  CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]

FROM runtime AS cpu
RUN ["python", "-c", "import torch; torch.ones(2).sum()"]

FROM runtime AS cuda
# Triton, which torch brings along, compiles what starts kernels when they are first used
USER root
RUN apt-get update \
 && apt-get install --yes --no-install-recommends gcc libc6-dev \
 && rm -rf /var/lib/apt/lists/*
USER 10001:10001
ENV NVIDIA_DRIVER_CAPABILITIES=compute,utility
RUN ["python", "-c", "import torch; assert torch.version.cuda, 'this torch build has no CUDA'"]
