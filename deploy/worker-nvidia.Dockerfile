# A worker on a machine with an NVIDIA GPU, inside NVIDIA's TensorRT container (TensorRT 11.2.1.2, Python 3.12).
# Build from the repository root:
#   docker build -f deploy/worker-nvidia.Dockerfile -t enginehouse-worker-nvidia .
FROM nvcr.io/nvidia/tensorrt:26.08-py3

# The container pins packages for its own samples; an environment on top of it sees its TensorRT and brings the rest.
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_CONSTRAINT=

RUN useradd --uid 10001 --user-group --create-home --home-dir /var/lib/enginehouse --shell /usr/sbin/nologin enginehouse

WORKDIR /opt/enginehouse

COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY enginehouse/__init__.py enginehouse/__init__.py
RUN python3 -m venv --system-site-packages /opt/venv \
    && /opt/venv/bin/pip install --constraint constraints.txt --editable '.[worker,tensorrt]'
ENV PATH=/opt/venv/bin:$PATH

COPY enginehouse enginehouse
COPY protos protos
COPY samples samples
COPY sandbox sandbox
COPY workers workers

USER enginehouse
CMD ["python", "-m", "workers"]
