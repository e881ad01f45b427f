# API, scheduler and migrations: one image, three commands. Build from the repository root:
#   docker build -f deploy/server.Dockerfile -t enginehouse-server .
FROM python:3.11.15-slim-bookworm

ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1

RUN useradd --uid 10001 --user-group --create-home --home-dir /var/lib/enginehouse --shell /usr/sbin/nologin enginehouse

WORKDIR /opt/enginehouse

# What changes seldom first: the dependencies.
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY enginehouse/__init__.py enginehouse/__init__.py
RUN pip install --constraint constraints.txt --editable '.[server]'

COPY enginehouse enginehouse
COPY protos protos
COPY samples samples
COPY sandbox sandbox
COPY scheduler scheduler
COPY api api
COPY migrations migrations

USER enginehouse
EXPOSE 8470
CMD ["python", "-m", "api"]
