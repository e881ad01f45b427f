# A CPU worker with OpenVINO, ONNX Runtime, LiteRT, PyTorch, TensorFlow and OpenCV (for Caffe). Build from the repository root:
#   docker build -f deploy/worker-cpu.Dockerfile -t enginehouse-worker-cpu .
FROM python:3.11.15-slim-bookworm

ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1

RUN useradd --uid 10001 --user-group --create-home --home-dir /var/lib/enginehouse --shell /usr/sbin/nologin enginehouse

WORKDIR /opt/enginehouse

COPY pyproject.toml constraints.txt requirements-toolchains.txt README.md LICENSE ./
COPY enginehouse/__init__.py enginehouse/__init__.py
RUN pip install --constraint constraints.txt --editable '.[worker,toolchains]' \
    && pip install --no-deps --requirement requirements-toolchains.txt

COPY enginehouse enginehouse
COPY protos protos
COPY samples samples
COPY sandbox sandbox
COPY workers workers

USER enginehouse
CMD ["python", "-m", "workers"]
